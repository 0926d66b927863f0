"""What the page's buttons do, free of the page: uploaded files in, pictures and lines of text out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tryon.app.pictures import corrected_mask, flow_picture, warp_picture
from tryon.data.images import as_seen, on_white, read_image
from tryon.errors import InputError
from tryon.garment_mask import check_mask, cut_out
from tryon.inference import TryOn

MOST_SIDE = 2048
"""Pixels of a photo's longer side; larger ones are reduced, so that one picture takes seconds and little memory."""

MOST_GARMENTS = 8
SECONDS = 120.0
"""After so long no further garment of one request is begun."""


@dataclass(frozen=True)
class Look:
    """A person in one garment.

    Attributes:
        name: of the garment, for people.
        image: the person dressed.
        warp: the warped garment alone.
        flow: where its pixels come from, as colours.
    """

    name: str
    image: Image.Image
    warp: Image.Image
    flow: Image.Image


def open_upload(path: Path | None, name: str) -> Image.Image:
    """Open an uploaded photo upright, in sRGB, transparency kept, no larger than `MOST_SIDE`.

    Args:
        path: the file, or None where nothing was uploaded.
        name: what to call it in an error: a visitor does not know the file's place on this machine.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if path is None:
        raise InputError(f"{name}: found no photo, wanted one")
    try:
        image = as_seen(read_image(path), name)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from None
    return reduced(image, MOST_SIDE)


def reduced(image: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side at most so many pixels."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def show_mask(path: Path | None, side: int) -> tuple[Image.Image, Image.Image, InputError | None]:
    """An uploaded garment on white and its mask (L), no larger than ``side``, and why the mask is empty if it is.

    Raises InputError where the photo itself cannot be opened.
    """
    photo = reduced(open_upload(path, "garment"), side)
    try:
        return *cut_out(photo), None
    except InputError as refusal:
        return on_white(photo), Image.new("L", photo.size), refusal


def dress_in_each(
    model: TryOn, person: Image.Image, garments: Sequence[tuple[str, Path | None]], strokes: Image.Image | None
) -> Iterator[Look | InputError]:
    """Dress a person in one garment after the other.

    Args:
        model: a trained student.
        person: `open_upload` of their photo.
        garments: names and uploaded files, at most `MOST_GARMENTS` of which are taken.
        strokes: what was painted on the first one to correct its mask (`corrected_mask`), if anything.

    Yields:
        For each garment the person in it, or why that cannot be.
    """
    began = time.monotonic()
    for number, (name, path) in enumerate(garments):
        if number >= MOST_GARMENTS:
            yield InputError(f"garments: found {len(garments)}, wanted at most {MOST_GARMENTS}; the rest was left out")
            return
        if time.monotonic() - began > SECONDS:
            yield InputError(f"{name}: not begun, as the {SECONDS:.0f} seconds of one request were over")
            return
        try:
            yield _dress(model, person, name, path, strokes if number == 0 else None)
        except InputError as error:
            yield error


def _dress(model: TryOn, person: Image.Image, name: str, path: Path | None, strokes: Image.Image | None) -> Look:
    if strokes is None:
        garment, mask = cut_out(open_upload(path, name), name=name)
    else:
        garment, mask, _ = show_mask(path, MOST_SIDE)
        mask = corrected_mask(mask, strokes)
        check_mask(mask, f"{name}: the mask as you painted it")
    dressed = model.explain(person, garment, mask)
    warped = dressed.result.warped
    return Look(name, dressed.image, warp_picture(warped), flow_picture(warped))
