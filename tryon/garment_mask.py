"""The garment mask of a product photo: the one that is given, else its transparency, else from its plain background."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tryon.data.images import as_mask, as_seen, format_size, on_white
from tryon.errors import InputError
from tryon.plain_background import LARGEST_GARMENT, PLAIN_BORDER, SMALLEST_GARMENT, border_of, garment_mask

_HALF = 128


def cut_out(
    garment: Image.Image, mask: Image.Image | None = None, name: str = "garment", mask_name: str = "mask"
) -> tuple[Image.Image, Image.Image]:
    """A product photo on white and its garment mask.

    Args:
        garment: product photo, any size and mode.
        mask: garment mask of that size, any mode. By default the photo's transparency where it has some, else
            `garment_mask`.
        name: what to call the photo in an error: a file name, say.
        mask_name: what to call the mask.

    Returns:
        Photo (RGB) and mask (L, bright on the garment), both upright and of one size.

    Raises:
        InputError: the mask's size is wrong, it cannot be a garment's (`check_mask`), or no mask can be made.
    """
    seen = as_seen(garment, name)
    photo = on_white(seen)
    if mask is not None:
        given = as_mask(mask, mask_name)
        if given.size != photo.size:
            found, wanted = (format_size((image.height, image.width)) for image in (given, photo))
            raise InputError(f"{mask_name}: found {found}, wanted {wanted} as the garment has")
        check_mask(given, mask_name)
    elif seen.mode == "RGBA" and np.asarray(seen.getchannel("A")).min() < _HALF:
        given = seen.getchannel("A")
        check_mask(given, f"{name}: its transparency")
    else:
        given = garment_mask(photo, name)
    return photo, given


def check_mask(mask: Image.Image, name: str) -> None:
    """Raise InputError for a mask (L) of nothing, of the whole photo, or of what is around the garment."""
    inside = np.asarray(mask) >= _HALF
    covered, border = float(inside.mean()), float(border_of(inside).mean())
    if covered < SMALLEST_GARMENT:
        found = f"no garment ({covered:.1%} of the photo is bright)"
    elif covered > LARGEST_GARMENT:
        found = f"the whole photo ({covered:.1%} of it is bright)"
    elif border > max(PLAIN_BORDER, covered):
        found = f"a mask that is inverted ({border:.0%} of the border is bright, {covered:.0%} of the photo)"
    else:
        return
    raise InputError(f"{name}: found {found}, wanted it bright on the garment and dark around it")
