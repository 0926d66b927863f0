"""``tryon evaluate``: a model against the truth of a test split."""

from __future__ import annotations

import argparse
from pathlib import Path

from tryon.card import EVALUATION_FILE, write_card
from tryon.cli.options import Commands, add_device, add_weights, chosen_device
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.errors import InputError
from tryon.files import check_output_file
from tryon.metrics import evaluate, write_evaluation
from tryon.progress import Progress
from tryon.weights import load_model


def add_arguments(commands: Commands) -> None:
    """Add ``evaluate``."""
    parser = commands.add_parser("evaluate", help="compare a tutor or student with the truth")
    add_weights(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder with a test split")
    parser.add_argument("--pairs", type=Path, required=True, metavar="FILE", help="'person.jpg garment.jpg' a line")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file of the scores")
    add_device(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    check_output_file(options.out)
    model, record = load_model(options.weights)
    if not record.generator:
        raise InputError(
            f"{options.weights}: found stage {record.stage}, which has no generator; wanted tutor or student"
        )
    folder = TryOnFolder(options.data, "test", record.size)
    pairs = read_pairs(options.pairs, folder)
    device = chosen_device(options.device)
    with Progress("evaluate", len(pairs), "pairs") as progress:
        evaluation = evaluate(model, folder, pairs, device, progress.update)
    write_evaluation(evaluation, options.out)
    if options.out.resolve() == (options.weights / EVALUATION_FILE).resolve():
        write_card(options.weights)
    error = evaluation.end_point_error
    flow = "no true flow" if error is None else f"flow end-point error {error:.2f} pixels"
    print(f"{len(evaluation.pairs)} pairs: SSIM {evaluation.ssim:.3f}, {flow}; {options.out}")
