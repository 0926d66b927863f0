"""Which layout a data folder has."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from tryon.data.layouts.known import LAYOUTS
from tryon.data.layouts.layout import Layout
from tryon.errors import InputError

_log = logging.getLogger(__name__)


def find_layout(root: Path, name: str | None = None) -> Layout:
    """The layout of a data folder, which is said once, with what the set's licence is.

    Args:
        root: the data folder.
        name: of the layout; by default it is recognised by the folders of people.

    Raises:
        InputError: there is no such folder or layout, or the folder has none or several.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such data folder")
    layout = _recognised(root) if name is None else _named(name)
    if not layout.bases(root):
        raise InputError(f"{root}: found none of {', '.join(layout.categories)}, wanted them for layout {layout.name}")
    _say(root, layout.name, layout.licence)
    return layout


def _named(name: str) -> Layout:
    if name not in LAYOUTS:
        raise InputError(f"layout: found {name!r}, wanted one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def _recognised(root: Path) -> Layout:
    found = [layout for layout in LAYOUTS.values() if layout.splits_at(root)]
    if not found:
        wanted = "; ".join(f"{_people(layout)} ({layout.name})" for layout in LAYOUTS.values())
        raise InputError(f"{root}: found no data set, wanted people in {wanted}")
    if len(found) > 1:
        names = " and ".join(layout.name for layout in found)
        raise InputError(f"{root}: found layouts {names}, wanted one to be named (--layout)")
    return found[0]


def _people(layout: Layout) -> str:
    category = f"{next(iter(layout.categories))}/" if layout.categories else ""
    folders = [category + layout.folder(kind, split) for split in layout.splits for kind in layout.photo]
    return " or ".join(dict.fromkeys(folders))


@cache  # once for a folder, however often it is opened
def _say(root: Path, name: str, licence: str) -> None:
    _log.info("%s: layout %s; licence: %s", root, name, licence)
