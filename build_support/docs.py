"""What the documentation's site has beside the pages of docs/: the plots of benchmarks, and the command line's page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = "benchmarks/results"
COMMAND_LINE = ROOT / "build" / "docs" / "reference-cli.md"
"""Made by `make docs`, from the commands themselves."""


def on_files(files: Any, config: Any) -> Any:
    """Add what does not lie in docs/."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, COMMAND_LINE.name, abs_src_path=str(COMMAND_LINE)))
    for plot in sorted((ROOT / RESULTS).glob("*.png")):
        files.append(File.generated(config, f"{RESULTS}/{plot.name}", abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links from docs/ to the plots, which lie beside their tables, are links within the site."""
    return re.sub(rf"\]\(\.\./({RESULTS}/[^)]+\.png)\)", r"](\1)", markdown)
