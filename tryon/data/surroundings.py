"""Other surroundings for a batch of people: another background behind them, a bag and strands of hair before them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tryon.data.condition import known_background
from tryon.data.sample import Garment, Person, Sample, Surroundings

BACKDROP_SHARE = 0.5  # of samples; the others keep the background of their photo
BAG_SHARE = 0.5
BAG_SCALE = (0.2, 0.5)  # of the frame
STRANDS_SHARE = 0.5
STRANDS = 4
STRAND_WIDTH = (0.008, 0.024)  # of the frame, at least a pixel

Draw = Callable[..., Tensor]
"""Uniform numbers for each sample: (low, high, *shape) to N x shape."""


def draw_surroundings(sample: Sample, seed: int, step: int, place: int = 0) -> Surroundings:
    """Surroundings of a batch: a pure function of the batch, seed, step, and its place among the step's batches."""
    garment = sample.garment
    count, _, height, width = garment.image.shape
    generator = np.random.default_rng([seed, step, place, count])

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(generator.uniform(low, high, (count, *shape))).to(garment.image)

    def some(share: float) -> Tensor:
        return (draw(0, 1, 1, 1, 1) < share).float()

    bag, bag_cover = _bag(garment, draw)
    strands_cover = _strands(height, width, draw) * some(STRANDS_SHARE)
    occluder = torch.lerp(bag, draw(-1, 1, 3, 1, 1), strands_cover)
    cover = torch.maximum(bag_cover * some(BAG_SHARE), strands_cover)
    return Surroundings(_backdrop(sample.person), some(BACKDROP_SHARE), occluder, cover)


def _backdrop(person: Person) -> Tensor:
    """The background of the sample before; where that has a person, its mean colour."""
    known = known_background(person)
    mean = (person.photo * known).sum(dim=(2, 3), keepdim=True) / known.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return torch.where(known > 0, person.photo, mean).roll(1, 0)


def _bag(garment: Garment, draw: Draw) -> tuple[Tensor, Tensor]:
    """The garment of the sample before, smaller, turned and anywhere: its colours and where it is."""
    scale, angle, x, y = draw(*BAG_SCALE), draw(-np.pi, np.pi), draw(-1, 1), draw(-1, 1)
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    rows = ((cosine, sine, -cosine * x - sine * y), (-sine, cosine, sine * x - cosine * y))
    placed = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = F.affine_grid(placed, list(garment.image.shape), align_corners=True)
    image, mask = (F.grid_sample(part.roll(1, 0), grid, align_corners=True) for part in (garment.image, garment.mask))
    # Outside the mask the garment is 0, so that samples at its edge are its colours times its mask.
    return image / mask.clamp(min=torch.finfo(mask.dtype).eps), mask.clamp(max=1)


def _strands(height: int, width: int, draw: Draw) -> Tensor:
    """Where bent lines run downwards: N x 1 x H x W of 0 and 1."""
    root, slope, bend, top, length, thickness = (
        draw(*limits, STRANDS, 1, 1)
        for limits in ((-0.6, 0.6), (-0.3, 0.3), (-0.4, 0.4), (-1, 0), (0.3, 1.2), STRAND_WIDTH)
    )
    down = torch.linspace(-1, 1, height).to(root).view(-1, 1) - top
    aside = torch.linspace(-1, 1, width).to(root) - root - slope * down - bend * down.square()
    strands = (aside.abs() <= thickness.clamp(min=1 / width)) & (down >= 0) & (down <= length)
    return strands.any(dim=1, keepdim=True).float()
