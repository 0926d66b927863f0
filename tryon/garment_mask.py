"""The garment mask of a product photo, from its plain background."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tryon.errors import InputError

PLAIN_BORDER = 0.6  # share of the border that must be background; the rest may be a garment that is cut off
LOOSEST_PLAIN = 12  # grey levels (of 255) by which that share may differ from the border's median in any channel
TIGHTEST_TOLERANCE = 4  # grey levels; looser, white garments on white leak into the background
SMALLEST_GARMENT = 0.03  # share of the photo
_BORDER_SHARE = 1 / 64  # thickness of the border, as a share of the photo's shorter side
_OUTSIDE = 128


def garment_mask(photo: Image.Image, name: str = "garment") -> Image.Image:
    """Separate a garment from a plain background.

    The background is what has the border's median colour and is connected to the border; so a white button or a
    white print inside the garment stays garment.

    Args:
        photo: product photo, any size.
        name: what to call the photo in an error: a file name, say.

    Returns:
        Mode "L" image of the photo's size, 255 on the garment and 0 elsewhere.

    Raises:
        InputError: the background is not plain, or there is no garment on it.
    """
    colours = np.asarray(photo.convert("RGB"), dtype=np.int16)
    border = _border(colours)
    background = np.median(border, axis=0)
    deviation = float(np.quantile(np.abs(border - background).max(axis=1), PLAIN_BORDER))
    if deviation > LOOSEST_PLAIN:
        raise InputError(
            f"{name}: found no plain background (the border's colours differ by {deviation:.0f} grey levels,"
            f" wanted at most {LOOSEST_PLAIN}); give a garment mask"
        )
    tolerance = max(TIGHTEST_TOLERANCE, 2 * deviation)
    like_background = np.abs(colours - background).max(axis=2) <= tolerance
    mask = _not_connected_to_border(like_background)
    covered = np.asarray(mask).mean() / 255
    if covered < SMALLEST_GARMENT:
        raise InputError(
            f"{name}: found no garment on the background ({covered:.1%} of the photo differs from it,"
            f" wanted {SMALLEST_GARMENT:.0%}); give a garment mask"
        )
    return mask


def _border(colours: np.ndarray) -> np.ndarray:
    thickness = max(1, round(min(colours.shape[:2]) * _BORDER_SHARE))
    sides = (colours[:thickness], colours[-thickness:], colours[:, :thickness], colours[:, -thickness:])
    return np.concatenate([side.reshape(-1, 3) for side in sides])


def _not_connected_to_border(like_background: np.ndarray) -> Image.Image:
    """255 where no path through background leads to the border; single stray pixels are removed."""
    framed = np.pad(like_background, 1, constant_values=True)
    levels = Image.fromarray(np.where(framed, np.uint8(0), np.uint8(255))).copy()
    ImageDraw.floodfill(levels, (0, 0), _OUTSIDE)
    inside = np.asarray(levels)[1:-1, 1:-1] != _OUTSIDE
    return Image.fromarray(inside.astype(np.uint8) * 255).filter(ImageFilter.MedianFilter(3))
