"""Photos that are there twice, whatever was done to them in between."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELLS = 16  # the photo is looked at as so many cells in each direction
BRIGHTER = 4  # grey levels by which a cell must differ from the one beside it; less is noise of plain backgrounds
NEAR = 0.05
"""Share of the comparisons of cells in which two photos may differ.

Of ten real photos and their copies in JPEG of quality 20, at half or twice the size, or a tenth brighter, 0.033 differ
at most; of those of different people 0.198 at least, of 51,200 pairs of drawn people 0.064.
"""


def difference_hash(photo: Image.Image) -> NDArray[np.bool_]:
    """Where each cell of a photo (RGB) is brighter than the one to its left and above: 1440 of True and False.

    A "difference hash", of each colour for itself.
    """
    cells = np.asarray(photo.resize((CELLS, CELLS), Image.Resampling.BOX), dtype=np.int16)
    across, down = (np.diff(cells, axis=axis) > BRIGHTER for axis in (1, 0))
    return np.concatenate([across.ravel(), down.ravel()])


def near_duplicates(
    hashes: Mapping[str, NDArray[np.bool_]], others: Mapping[str, NDArray[np.bool_]]
) -> list[tuple[str, str]]:
    """Pairs of names whose photos are nearly the same, one of each, by their difference hashes."""
    if not hashes or not others:
        return []
    # Of signs, a product of matrices counts what is alike less what differs.
    signs, other_signs = (
        np.where(np.stack(list(each.values())), np.float32(1), np.float32(-1)) for each in (hashes, others)
    )
    differing = (1 - signs @ other_signs.T / signs.shape[1]) / 2
    names, other_names = list(hashes), list(others)
    return [(names[i], other_names[j]) for i, j in np.argwhere(differing <= NEAR)]
