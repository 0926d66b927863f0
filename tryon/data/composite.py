"""Fake pictures laid into their photos: where the other garment is not, arms and background are in blots the photo's.

A tutor paints anew whatever is near the photo's garment, and what it paints looks painted. A student that sees nothing
else paints anew all that is there, which in a photo needs no more than to be copied, and is told by what looks painted
where the garment has been, which no photo tells. Places that are drawn tell nothing.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tryon.data.condition import known_background
from tryon.data.sample import Person

STREAM = 2  # of random numbers: surroundings and hems of the same step have others
CELLS = (6, 5)  # rows and columns of random numbers, between which the blots' outlines run
FEWEST, MOST = 0.15, 0.85  # numbers below a threshold between these are blots of the photo: some of all, or nearly all


def draw_blots(count: int, height: int, width: int, seed: int, step: int, place: int = 0) -> Tensor:
    """Where fake pictures may have the photo's pixels: N x 1 x H x W float32, 0 or 1, in blots of all sizes.

    A pure function of number and size of the samples, seed, step, and the batch's place among the step's.
    """
    generator = np.random.default_rng([seed, step, place, count, STREAM])
    cells = torch.from_numpy(generator.random((count, 1, *CELLS), dtype=np.float32))
    thresholds = torch.from_numpy(generator.uniform(FEWEST, MOST, (count, 1, 1, 1)).astype(np.float32))
    field = F.interpolate(cells, size=(height, width), mode="bilinear", align_corners=True)
    return (field < thresholds).float()


def composited(fake: Tensor, worn: Tensor, person: Person, blots: Tensor) -> Tensor:
    """Lay fake pictures into their photos.

    Args:
        fake: N x 3 x H x W, people in other garments.
        worn: N x 1 x H x W in [0, 1], where these are.
        person: of the photos, with parsing.
        blots: N x 1 x H x W in [0, 1], as of `draw_blots`.

    Returns:
        The pictures, with the photo's pixels where these blots are bare arms or background and no garment is.
    """
    assert person.regions is not None  # as of everybody trained on
    unclothed = person.regions.arms + known_background(person)
    return torch.lerp(fake, person.photo, unclothed * (1 - worn) * blots)
