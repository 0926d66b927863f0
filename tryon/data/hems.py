"""Other hems for a batch of fake pictures: garments that end lower or higher than where the person's own does.

A tutor keeps a person's other clothes, so its fakes end where the photo's garment ends, whatever garment they show. A
student that sees nothing else learns to leave hems where they are, and leaves what a longer garment shows below.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tryon.data.labels import Regions

SHOWN = 0.5  # of a row's most: what counts as a row of the garment
STREAM = 1  # of random numbers: not that of surroundings, which may be drawn of the same step
REACH = 0.375  # of a garment's height, the furthest


def draw_hems(count: int, seed: int, step: int, place: int = 0) -> Tensor:
    """By how much of the garment's height hems move, N float32: down above 0, up below 0.

    As two garments differ whose lengths are anything between two: small moves are more often than large ones. A pure
    function of the number of samples, seed, step, and the batch's place among the step's.
    """
    generator = np.random.default_rng([seed, step, place, count, STREAM])
    return torch.from_numpy(generator.triangular(-REACH, 0, REACH, count).astype(np.float32))


def moved_hems(fake: Tensor, worn: Tensor, regions: Regions, moves: Tensor) -> tuple[Tensor, Tensor]:
    """Continue garments below their hem, or other clothes above it, by what is so many rows away.

    By no more rows than there are of what goes on, in the mean of the columns that have it. Nothing changes but what
    the photo's parsing takes for clothes.

    Args:
        fake: N x 3 x H x W, people in garments.
        worn: N x 1 x H x W in [0, 1], where these are.
        regions: of the photos that the fakes were made of.
        moves: N, as of `draw_hems`.

    Returns:
        The pictures and where garments are now.
    """
    heights = (worn.amax(dim=3) > SHOWN).sum(dim=(1, 2))
    rows = (moves * heights).round().long()
    moved, lower = (part[:, None, None, None] for part in (rows != 0, rows > 0))
    clothes = regions.garment + regions.other_clothes
    continued = torch.where(lower, worn, regions.other_clothes)
    columns = continued.amax(dim=2).sum(dim=(1, 2)).clamp(min=1)
    most = (continued.sum(dim=(1, 2, 3)) / columns).long()
    rows = torch.minimum(rows.abs(), most) * rows.sign()
    place = clothes * torch.where(lower, 1 - worn, worn)
    band = _from_above(continued, rows) * place * moved
    return torch.lerp(fake, _from_above(fake, rows), band), torch.where(lower, worn + band, worn - band)


def _from_above(image: Tensor, rows: Tensor) -> Tensor:
    """Each pixel as it is `rows` further up, N of them; 0 from beyond the frame."""
    height = image.shape[2]
    source = torch.arange(height, device=image.device) - rows[:, None]
    inside = ((source >= 0) & (source < height))[:, None, :, None]
    places = source.clamp(0, height - 1)[:, None, :, None].expand_as(image)
    return image.gather(2, places) * inside
