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
COLLAR_REACH = 18.0
"""How far from the neck garment may be kept for a collar, in the same pixels."""
HEM_SHARE = 0.2
"""Of the garment's height, what may be taken for a skirt."""
NECK_KEYPOINT = 1
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


def _with_lost_regions(rendering: Rendering, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The exact parsing, or for a share `noise` of people one that mistakes each kind of region with probability 1/2.

    All is drawn whether it is used or not: who fails at some noise fails in the same regions at all higher noise.
    """
    exact, parsing = rendering.parsing, rendering.parsing.copy()
    fails = (rng.random(5) < 1 / 2) & (rng.random() < noise)
    arm = rng.choice([Label.LEFT_ARM, Label.RIGHT_ARM])
    taken_for = rng.choice([Label.BACKGROUND, Label.GARMENT])
    y, x = np.mgrid[0 : exact.shape[0], 0 : exact.shape[1]]
    neck_x, neck_y, _ = rendering.keypoints[NECK_KEYPOINT]
    reach = COLLAR_REACH * exact.shape[0] / FRAME_HEIGHT
    garment = exact == Label.GARMENT
    rows = np.flatnonzero(garment.any(axis=1))
    hem = rows[-1] + 1 - HEM_SHARE * len(rows) if len(rows) else np.inf
    mistakes: tuple[tuple[NDArray[np.bool_], Label], ...] = (
        (exact == arm, taken_for),
        (rendering.neck, Label.GARMENT),
        ((exact == Label.HAIR) & (y > neck_y - reach), Label.GARMENT),
        (garment & (np.hypot(x - neck_x, y - neck_y) < reach), Label.FACE),
        (garment & (y >= hem), Label.BOTTOMS),
    )
    for (region, label), mistaken in zip(mistakes, fails, strict=True):
        if mistaken:
            parsing[region] = label
    return parsing


def corrupt_parsing(rendering: Rendering, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The parsing with mistakes.

    Borders become ragged and the garment gets small wrong blobs, both in proportion to the noise. Whole regions fail
    together: for a share `noise` of people, each with probability 1/2, an arm is lost (to background or garment), the
    neck is taken for garment, so is hair on the shoulders, the collar is kept as if it were face, and the hem as if it
    were a skirt. The same generator makes the same mistakes at every noise, more of them at more.

    Args:
        rendering: the exact parsing and where bare skin of the neck and trunk is; not changed.
        noise: 0 (exact) to 1.
        rng: decides which mistakes.

    Returns:
        uint8 labels, H × W.
    """
    if noise == 0:
        return rendering.parsing.copy()
    parsing = _with_lost_regions(rendering, noise, rng)
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
