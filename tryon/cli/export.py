"""``tryon export``: a student as one ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

from tryon.cli.options import Commands, add_weights, image_size
from tryon.data.images import Size
from tryon.errors import InputError
from tryon.export.layout import DYNAMIC
from tryon.export.student import OPSETS, export_student
from tryon.files import check_output_file
from tryon.weights import read_record

SUFFIX = ".onnx"


def add_arguments(commands: Commands) -> None:
    """Add ``export``."""
    parser = commands.add_parser("export", help="write a student as one ONNX file")
    add_weights(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="ONNX file")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help=f"of the pictures, or {DYNAMIC}: any multiples of 32 from 64 on (default: that of training)",
    )
    parser.add_argument("--opset", type=int, choices=OPSETS, default=OPSETS[0], help="(default: %(default)s)")
    parser.add_argument("--half", action="store_true", help="keep weights in half as many bytes")
    parser.set_defaults(run=_export)


def _size(text: str) -> Size | str:
    return DYNAMIC if text == DYNAMIC else image_size(text)


def _export(options: argparse.Namespace) -> None:
    if options.out.suffix != SUFFIX:
        raise InputError(f"--out: found {options.out}, wanted a file such as model{SUFFIX}")
    check_output_file(options.out)
    size = options.size or read_record(options.weights).size
    exported = export_student(
        options.weights, options.out, None if size == DYNAMIC else size, opset=options.opset, half=options.half
    )
    for one in exported.differences:
        print(f"{one.output}: differs from PyTorch's by {one.found:.1e} at most (allowed: {one.bound:.1e})")
    if options.half:
        print(f"float16 weights change the image by {exported.rounding:.2f} grey levels of 255 on average")
    print(options.out)
