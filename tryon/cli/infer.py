"""``tryon infer``: dress one person, or the pairs of a data folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from tryon.cli.options import Commands, add_device, check_image_file, chosen_device
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.images import open_image, open_mask
from tryon.engines import ENGINES, ExportedTryOn
from tryon.errors import InputError
from tryon.files import make_folder
from tryon.garment_mask import cut_out
from tryon.inference import TryOn
from tryon.precision import LOWERED
from tryon.progress import Progress

_ONE = ("person", "garment")
_MANY = ("data", "pairs")
_TORCH = "torch"


def add_arguments(commands: Commands) -> None:
    """Add ``infer``."""
    parser = commands.add_parser("infer", help="dress people")
    parser.add_argument(
        "--weights",
        type=Path,
        required=True,
        metavar="PATH",
        help="model folder, such as RUN/student; for another engine than torch a file made by tryon export",
    )
    parser.add_argument(
        "--engine", choices=(_TORCH, *ENGINES), default=_TORCH, help="what computes (default: %(default)s)"
    )
    parser.add_argument("--person", type=Path, metavar="FILE", help="photo of a person")
    parser.add_argument("--garment", type=Path, metavar="FILE", help="product photo")
    parser.add_argument(
        "--mask", type=Path, metavar="FILE", help="garment mask (default: its transparency or plain background)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder with a test split, instead of one person")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="its pairs: 'person.jpg garment.jpg' a line")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="image file; with --data a folder")
    parser.add_argument(
        "--precision", choices=LOWERED, help="(default: bf16 on a CPU that multiplies it itself, else fp32)"
    )
    add_device(parser)
    parser.set_defaults(run=_infer)


def _infer(options: argparse.Namespace) -> None:
    given = {name for name in (*_ONE, *_MANY, "mask") if getattr(options, name) is not None}
    if given - {"mask"} == set(_ONE):
        _dress_one(options)
    elif given == set(_MANY):
        _dress_pairs(options)
    else:
        found = " ".join(f"--{name}" for name in (*_ONE, "mask", *_MANY) if name in given) or "none"
        raise InputError(f"infer: found {found}, wanted --person and --garment (and --mask), or --data and --pairs")
    print(options.out)


def _dress_one(options: argparse.Namespace) -> None:
    check_image_file(options.out)
    person = open_image(options.person)
    garment = open_image(options.garment, "RGBA")
    mask = None if options.mask is None else open_mask(options.mask)
    garment, mask = cut_out(garment, mask, str(options.garment), str(options.mask))
    model = _student(options)
    model.dress(person, garment, mask).save(options.out)


def _dress_pairs(options: argparse.Namespace) -> None:
    folder = TryOnFolder(options.data, "test")
    pairs = read_pairs(options.pairs, folder)
    model = _student(options)
    for person in dict.fromkeys(person for person, _ in pairs):  # before the first picture is made
        open_image(folder.photo_path(person))
    for garment in dict.fromkeys(garment for _, garment in pairs):
        _garment(folder, garment)
    make_folder(options.out)
    with Progress("infer", len(pairs), "pairs") as progress:
        for person, garment in pairs:
            image = model.dress(open_image(folder.photo_path(person)), *_garment(folder, garment))
            name = f"{folder.photo_path(person).stem}__{folder.garment_path(garment).stem}.png"
            image.save(options.out / name)
            progress.update()


def _garment(folder: TryOnFolder, garment: str) -> tuple[Image.Image, Image.Image]:
    path, mask_path = folder.garment_path(garment), folder.mask_path(garment)
    return cut_out(open_image(path), open_mask(mask_path), str(path), str(mask_path))


def _student(options: argparse.Namespace) -> TryOn:
    if options.engine == _TORCH:
        if options.weights.is_file():
            raise InputError(
                f"{options.weights}: found a file, wanted a model folder; --engine {' or '.join(ENGINES)} takes files"
            )
        return TryOn.load(options.weights, chosen_device(options.device), options.precision)
    for name in ("device", "precision"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name}: found one for --engine {options.engine}, wanted none: it is cpu and fp32")
    return ExportedTryOn(options.weights, options.engine)
