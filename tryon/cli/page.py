"""``tryon page``: a folder for any static host, whose page dresses people in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from tryon.cli.options import Commands
from tryon.page.assembling import RUNTIME, RUNTIME_VERSION, assemble_page

MEGABYTE = 1e6


def add_arguments(commands: Commands) -> None:
    """Add ``page``."""
    parser = commands.add_parser("page", help="a static page that dresses people in the browser")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="ONNX file of tryon export")
    parser.add_argument(
        "--runtime",
        type=Path,
        default=Path("node_modules"),
        metavar="DIR",
        help=f"where npm put {RUNTIME} {RUNTIME_VERSION} (default: node_modules)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    parser.set_defaults(run=_page)


def _page(options: argparse.Namespace) -> None:
    for name, size in assemble_page(options.model, options.runtime, options.out).items():
        print(f"{name:15} {size / MEGABYTE:6.2f} MB")
    print(options.out)
