"""Garment masks as files and programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tryon.data.images.colours import as_seen, upright
from tryon.data.images.opening import read_image
from tryon.errors import InputError

_GREY = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes whose levels are the mask's."""


def open_mask(path: Path) -> Image.Image:
    """Read a garment mask file: `as_mask` of it. Raises InputError that names the file."""
    return as_mask(read_image(path), str(path))


def as_mask(image: Image.Image, name: str = "mask") -> Image.Image:
    """A garment mask of any mode as grey levels (mode L), upright, its brightest level 255.

    So masks of 0 and 1, of 16 bits and of a palette's dark colours are what they look like. A colour profile is
    ignored. Where something is transparent, the alpha is the mask.

    Raises:
        InputError: it has levels that are no finite numbers.
    """
    if image.mode in _GREY and not image.has_transparency_data:
        grey = upright(image, name)
    else:
        colours = image.copy()
        colours.info.pop("icc_profile", None)
        seen = as_seen(colours, name)
        grey = seen.getchannel("A") if seen.mode == "RGBA" else seen.convert("L")
    levels = np.asarray(grey, dtype=np.float32)
    highest = levels.max()
    if not np.isfinite(highest):
        raise InputError(f"{name}: found a level of {highest}, wanted a grey mask of finite numbers")
    scaled = levels.clip(0) * (255 / highest if highest > 0 else 0)
    return Image.fromarray(scaled.round().astype(np.uint8))
