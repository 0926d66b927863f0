"""``tryon convert``: published PF-AFN checkpoints to a model folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from tryon.cli.options import Commands
from tryon.conversion.checkpoint import convert_checkpoints
from tryon.data.images import format_size


def add_arguments(commands: Commands) -> None:
    """Add ``convert``."""
    parser = commands.add_parser("convert", help="make a model folder of published PF-AFN checkpoints")
    parser.add_argument("--warp", type=Path, required=True, metavar="FILE", help="such as warp_model_final.pth")
    parser.add_argument("--gen", type=Path, required=True, metavar="FILE", help="such as gen_model_final.pth")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    record = convert_checkpoints(options.warp, options.gen, options.out)
    print(f"{record.role}, {format_size(record.size)}, {record.alignment}; {options.out}")
