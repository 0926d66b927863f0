"""``tryon experiment``: tests of what the method claims, on drawn people."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tryon.cli.options import Commands
from tryon.errors import InputError
from tryon.experiments import FULL, QUICK, run_distillation
from tryon.experiments.tables import check_document, write_into

_PROCESSES = min(os.cpu_count() or 1, 8)  # each takes a core, and a gigabyte of memory


def add_arguments(commands: Commands) -> None:
    """Add ``experiment distillation``."""
    names = commands.add_parser("experiment", help="test on drawn people what the method claims").add_subparsers(
        dest="name", required=True, metavar="NAME"
    )
    parser = names.add_parser("distillation", help="students of several kinds beside their tutor: two hours or more")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the experiment")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer people and steps")
    parser.add_argument(
        "--processes", type=int, default=_PROCESSES, metavar="N", help="that share the work (default: %(default)s)"
    )
    parser.add_argument("--perceptual-weights", type=Path, metavar="FILE", help="VGG-19 (default: random features)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="document to write the tables into")
    parser.set_defaults(run=_distillation)


def _distillation(options: argparse.Namespace) -> None:
    if options.report is not None:
        check_document(options.report)
    if options.processes < 1:
        raise InputError(f"--processes: found {options.processes}, wanted at least 1")
    settings = QUICK if options.quick else FULL
    result = run_distillation(options.out, settings, options.perceptual_weights, options.processes)
    if options.report is not None:
        write_into(options.report, result.table)
    print(result.table)
    print(f"\ntable:         {result.table_file}")
    print(f"curves:        {result.curves}")
    print(f"contact sheet: {result.sheet}")
    print(f"scores:        {result.results_file}")
