"""``tryon data``: draw a data set, check a data folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from tryon.cli.options import Commands, image_size
from tryon.data.check import check_folder
from tryon.data.synthetic import synthesize
from tryon.progress import Progress


def add_arguments(commands: Commands) -> None:
    """Add ``data synthesize`` and ``data check``."""
    actions = commands.add_parser("data", help="draw a data set, check a data folder").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    parser = actions.add_parser("synthesize", help="draw a VITON-style data set whose truth is known")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    parser.add_argument("--train", type=int, required=True, metavar="N", help="training people")
    parser.add_argument("--test", type=int, required=True, metavar="N", help="test people")
    parser.add_argument("--size", type=image_size, default=(256, 192), metavar="HxW", help="(default: 256x192)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes (default: 0)")
    parser.add_argument("--parsing-noise", type=float, default=0.0, metavar="P", help="0 exact .. 1 (default: 0)")
    parser.set_defaults(run=_synthesize)
    parser = actions.add_parser("check", help="read every file of a data folder and say what is wrong")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.set_defaults(run=_check)


def _synthesize(options: argparse.Namespace) -> None:
    with Progress("synthesize", options.train + options.test, "people") as progress:
        synthesize(
            options.out,
            train=options.train,
            test=options.test,
            size=options.size,
            seed=options.seed,
            parsing_noise=options.parsing_noise,
            progress=progress.update,
        )
    print(options.out)


def _check(options: argparse.Namespace) -> None:
    for line in check_folder(options.folder):
        print(line)
