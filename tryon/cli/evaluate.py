"""``tryon evaluate``: pictures of a model or of a folder, against the truth of a test split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tryon.card import EVALUATION_FILE, write_card
from tryon.cli.options import Commands, add_device, add_layout, chosen_device
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.images import open_image
from tryon.errors import InputError
from tryon.files import check_output_file
from tryon.metrics import (
    LPIPS_NETWORKS,
    PROTOCOLS,
    Comparison,
    Inception,
    RegionFiles,
    changing_region,
    check_pairs,
    dists,
    dress_pair,
    evaluate,
    lpips,
    model_source,
    picture_paths,
    printed,
    report,
    true_photo_path,
    write_evaluation,
)
from tryon.progress import Progress
from tryon.weights import load_model, write_json

Pairs = list[tuple[str, str]]


def add_arguments(commands: Commands) -> None:
    """Add ``evaluate``."""
    parser = commands.add_parser("evaluate", help="compare pictures, of a model or of a folder, with the truth")
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--weights", type=Path, metavar="DIR", help="model folder of a tutor or student")
    pictures.add_argument("--pictures", type=Path, metavar="DIR", help="anybody's pictures, PERSON__GARMENT or PERSON")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder with a test split")
    add_layout(parser)
    parser.add_argument("--pairs", type=Path, required=True, metavar="FILE", help="'person.jpg garment.jpg' a line")
    parser.add_argument("--report", type=Path, metavar="FILE", help="JSON file of figures and all they depend on")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file of a model's scores, true flows included")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="own", help="how pictures and true photos come to one size"
    )
    parser.add_argument(
        "--keep-outside", action="store_true", help="lay the photo over a picture where try-on changes nothing"
    )
    parser.add_argument("--regions", type=Path, metavar="DIR", help="a mask of each person of what try-on may change")
    for network in LPIPS_NETWORKS:
        name = f"--lpips-{network}"
        parser.add_argument(name, type=Path, metavar="FILE", help=f"weights of torchvision's {LPIPS_NETWORKS[network]}")
    parser.add_argument("--dists", type=Path, metavar="FILE", help="weights of torchvision's vgg16, for DISTS")
    parser.add_argument("--inception", type=Path, metavar="FILE", help="inception-2015-12-05.pt, for FID and KID")
    add_device(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    for path in (options.report, options.out):
        if path is not None:
            check_output_file(path)
    if options.out is not None and options.weights is None:
        raise InputError("--out: found --pictures, wanted --weights: it has a model's scores; give --report")
    device = chosen_device(options.device)
    content = _of_pictures(options, device) if options.weights is None else _of_model(options, device)
    if not content["figures"]:
        raise InputError(
            f"{options.pairs}: found no pair with a true photo, wanted some, or --inception for FID and KID"
        )
    if options.report is not None:
        write_json(options.report, content)
    print(printed(content))
    for path in (options.report, options.out):
        if path is not None:
            print(path)


def _of_model(options: argparse.Namespace, device: str) -> dict[str, Any]:
    """Dress the pairs. Where all have true photos, scores and true flows too."""
    model, record = load_model(options.weights)
    if not record.generator:
        raise InputError(
            f"{options.weights}: found stage {record.stage}, which has no generator; wanted tutor or student"
        )
    folder = TryOnFolder(options.data, "test", record.size, options.layout)
    pairs = read_pairs(options.pairs, folder)
    comparison = _comparison(options, folder, pairs, device)
    source = model_source(options.weights)
    with Progress("evaluate", len(pairs), "pairs") as progress:
        if options.out is None and not any(true_photo_path(folder, *pair) for pair in pairs):
            check_pairs(model, folder, pairs)
            model.to(device).eval()
            for pair in pairs:
                comparison.add(*pair, dress_pair(model, folder, *pair, device)[0])
                progress.update()
            return report(comparison, source)
        evaluation = evaluate(model, folder, pairs, device, progress.update, dressed=comparison.add)
    if options.out is not None:
        write_evaluation(evaluation, options.out)
        if options.out.resolve() == (options.weights / EVALUATION_FILE).resolve():
            write_card(options.weights)
    return report(comparison, source, evaluation)


def _of_pictures(options: argparse.Namespace, device: str) -> dict[str, Any]:
    size = TryOnFolder(options.data, "test", layout=options.layout).size
    folder = TryOnFolder(options.data, "test", size, options.layout)
    pairs = read_pairs(options.pairs, folder)
    comparison = _comparison(options, folder, pairs, device)
    pictures = picture_paths(options.pictures, folder, pairs)
    for path in pictures.values():  # a damaged one is named at once
        open_image(path)
    with Progress("evaluate", len(pairs), "pairs") as progress:
        for pair, path in pictures.items():
            comparison.add(*pair, open_image(path))
            progress.update()
    return report(comparison, {"pictures": str(options.pictures)})


def _comparison(options: argparse.Namespace, folder: TryOnFolder, pairs: Pairs, device: str) -> Comparison:
    """What the options ask for, all files given read before the first picture."""
    people = list(dict.fromkeys(person for person, _ in pairs))
    regions = None if options.regions is None else RegionFiles(options.regions, people)
    if options.keep_outside and regions is None:
        for person in people:
            changing_region(folder, person)
    weights = {network: getattr(options, f"lpips_{network}") for network in LPIPS_NETWORKS}
    distances = [lpips(network, path, device) for network, path in weights.items() if path is not None]
    return Comparison(
        folder,
        PROTOCOLS[options.protocol],
        distances if options.dists is None else [*distances, dists(options.dists, device)],
        inception=None if options.inception is None else Inception(options.inception, device),
        keep=options.keep_outside,
        regions=regions,
    )
