"""Parsing mistakes of the kinds that human parsers make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .parts import Label
from .scene import Rendering
from .skeleton import FRAME_HEIGHT

BORDER_SHIFT = 5.0
"""Largest border displacement at noise 1, in pixels of a photo 256 high."""
HOLE_LABELS = (Label.BACKGROUND, Label.NOISE, Label.BOTTOMS, Label.RIGHT_ARM)


def _smooth_field(rng: np.random.Generator, cells: int, height: int, width: int) -> NDArray[np.float32]:
    coarse = rng.uniform(-1, 1, (cells, max(2, cells * width // height))).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _ragged(parsing: NDArray[np.uint8], rng: np.random.Generator, reach: float) -> NDArray[np.uint8]:
    """Every pixel takes the label of a place nearby; the places vary smoothly, and from pixel to pixel a little."""
    height, width = parsing.shape
    y, x = np.mgrid[0:height, 0:width]
    shifts = []
    for _ in range(2):
        waves = 0.6 * _smooth_field(rng, 12, height, width) + 0.4 * _smooth_field(rng, 48, height, width)
        shifts.append(reach * (waves + 0.25 * rng.uniform(-1, 1, parsing.shape)))
    y = np.clip(np.rint(y + shifts[0]), 0, height - 1).astype(np.intp)
    x = np.clip(np.rint(x + shifts[1]), 0, width - 1).astype(np.intp)
    return parsing[y, x]


def corrupt_parsing(rendering: Rendering, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The parsing with mistakes.

    Borders become ragged and the garment gets small wrong blobs, both in proportion to the noise; with probability
    noise / 2 an arm is lost (to background or garment), and with the same probability the neck is taken for garment.

    Args:
        rendering: the exact parsing and where bare skin of the neck and trunk is; not changed.
        noise: 0 (exact) to 1.
        rng: decides which mistakes.

    Returns:
        uint8 labels, H × W.
    """
    parsing = rendering.parsing.copy()
    if noise == 0:
        return parsing
    if rng.random() < noise / 2:
        arm = rng.choice([Label.LEFT_ARM, Label.RIGHT_ARM])
        parsing[parsing == arm] = rng.choice([Label.BACKGROUND, Label.GARMENT])
    if rng.random() < noise / 2:
        parsing[rendering.neck] = Label.GARMENT
    height, width = parsing.shape
    unit = height / FRAME_HEIGHT
    parsing = _ragged(parsing, rng, noise * BORDER_SHIFT * unit)
    y, x = np.mgrid[0:height, 0:width]
    garment_y, garment_x = np.nonzero(parsing == Label.GARMENT)
    for _ in range(rng.poisson(5 * noise) if len(garment_y) else 0):
        middle = rng.integers(len(garment_y))
        radius_y, radius_x = rng.uniform(1.5, 6.0, 2) * unit
        blob = ((y - garment_y[middle]) / radius_y) ** 2 + ((x - garment_x[middle]) / radius_x) ** 2 < 1
        parsing[blob & (parsing == Label.GARMENT)] = rng.choice(HOLE_LABELS)
    return parsing
