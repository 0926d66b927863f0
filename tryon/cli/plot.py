"""``tryon plot``: the losses of a run as curves."""

from __future__ import annotations

import argparse
from pathlib import Path

from tryon.cli.options import Commands
from tryon.engine import plot_losses
from tryon.errors import InputError
from tryon.files import check_output_file

PICTURE = "losses.png"


def add_arguments(commands: Commands) -> None:
    """Add ``plot``."""
    parser = commands.add_parser("plot", help="draw the losses of a run")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"PNG file (default: RUN/{PICTURE})")
    parser.set_defaults(run=_plot)


def _plot(options: argparse.Namespace) -> None:
    if not options.run_folder.is_dir():
        raise InputError(f"{options.run_folder}: no such run folder")
    out = options.out or options.run_folder / PICTURE
    check_output_file(out)
    plot_losses(options.run_folder, out)
    print(out)
