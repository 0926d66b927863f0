"""How the field's data sets lie on a disk: where what is, and how it is read. Nothing is copied or renamed."""

from tryon.data.layouts.known import LAYOUTS
from tryon.data.layouts.layout import Files, Layout
from tryon.data.layouts.recognition import find_layout
from tryon.data.layouts.split import SplitFiles, index_files, sample_id

__all__ = ["LAYOUTS", "Files", "Layout", "SplitFiles", "find_layout", "index_files", "sample_id"]
