"""``tryon fakes``: pictures of training people in other garments, for a student to learn from."""

from __future__ import annotations

import argparse
from pathlib import Path

from tryon.cli.options import Commands, add_device, add_layout, add_weights, chosen_device
from tryon.config import SEEDS
from tryon.data.folder import TryOnFolder
from tryon.errors import InputError
from tryon.fakes import drawn_pairs, write_fakes
from tryon.progress import Progress
from tryon.weights import load_model


def add_arguments(commands: Commands) -> None:
    """Add ``fakes``."""
    parser = commands.add_parser("fakes", help="dress training people in others' garments, for train --fakes")
    add_weights(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder with a train split")
    add_layout(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    parser.add_argument(
        "--epochs", type=int, default=1, metavar="N", help="epochs whose garments each person gets (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the training that draws them (default: 0)")
    parser.add_argument("--flows", action="store_true", help="write how each person's own garment is warped too")
    add_device(parser)
    parser.set_defaults(run=_fakes)


def _fakes(options: argparse.Namespace) -> None:
    if options.epochs < 1:
        raise InputError(f"--epochs: found {options.epochs}, wanted at least 1")
    if not 0 <= options.seed < SEEDS:
        raise InputError(f"--seed: found {options.seed}, wanted 0 to 2^64 - 1")
    model, record = load_model(options.weights)
    if not record.generator:
        raise InputError(
            f"{options.weights}: found stage {record.stage}, which has no generator; wanted tutor or student"
        )
    folder = TryOnFolder(options.data, "train", record.size, options.layout, posed=record.role == "tutor")
    if record.role == "tutor" and record.densepose != folder.has_densepose:
        found = "without" if record.densepose else "with"
        raise InputError(f"{options.data}: found data {found} DensePose, wanted it as the tutor was trained")
    if len(folder.people) < 2:
        raise InputError(f"{options.data}: found {len(folder.people)} person, wanted at least 2: garments of others")
    pairs = drawn_pairs(folder, options.epochs, options.seed)
    device = chosen_device(options.device)
    with Progress("fakes", len(pairs), "pictures") as progress:
        write_fakes(model, folder, pairs, options.out, flows=options.flows, device=device, progress=progress.update)
    print(options.out)
