"""``tryon demo``: the whole way on drawn people, in minutes on a CPU."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tryon.cli.options import Commands
from tryon.demo import run_demo


def add_arguments(commands: Commands) -> None:
    """Add ``demo``."""
    parser = commands.add_parser("demo", help="draw people, train the four stages, dress them: 10 to 15 minutes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the demo")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    began = time.monotonic()
    result = run_demo(options.out)
    print(result.table)
    print(f"contact sheet: {result.sheet}")
    print(f"table:         {result.table_file}")
    print(f"student:       {result.student}")
    print(f"this took      {(time.monotonic() - began) / 60:.1f} minutes")
