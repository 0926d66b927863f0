"""Holding a garment steady in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from math import comb

import torch
from torch import Tensor


def steadied(maps: Iterable[Tensor], reach: int) -> Iterator[Tensor]:
    """Sampling maps averaged with those of as many frames before and after, in order.

    A weight is a binomial coefficient. Because the frames are the same number on both sides, what moves evenly is not
    dragged behind, as it is by an average over the past alone; at both ends fewer frames are taken, on both sides.

    Args:
        maps: of one shape, one a frame.
        reach: frames taken on either side; 0 leaves maps as they are.
    """
    window: deque[Tensor] = deque(maxlen=2 * reach + 1)
    seen = given = 0
    for sampling_map in maps:
        window.append(sampling_map)
        seen += 1
        if seen - given > reach:
            yield _average(window, given - (seen - len(window)), reach)
            given += 1
    while given < seen:
        yield _average(window, given - (seen - len(window)), reach)
        given += 1


def _average(window: deque[Tensor], middle: int, reach: int) -> Tensor:
    side = min(reach, middle, len(window) - 1 - middle)
    weights = [comb(2 * side, k) / 4**side for k in range(2 * side + 1)]
    around = (window[middle - side + k] * weight for k, weight in enumerate(weights))
    return torch.stack(list(around)).sum(0)


def flicker(maps: Iterable[Tensor], truth: Iterable[Tensor]) -> tuple[float, float]:
    """How restless and how wrong a video's sampling maps are, by the flow that is true.

    The error of a pixel is the place that its map gives minus the true one, in pixels of the garment's photo. Flicker
    is the mean distance between a pixel's errors in two frames that follow each other: an error that stays, as a
    garment that always sits two pixels too high, is none. Motion of the person is none either: the truth has it too.

    Args:
        maps: 2 x H x W each, normalised (align_corners=True).
        truth: 2 x H x W each, true positions (x, y) in pixels; NaN where no garment is seen, which does not count.

    Returns:
        Flicker and mean error, in pixels.
    """
    errors = []
    for sampling_map, true in zip(maps, truth, strict=True):
        last = torch.tensor([true.shape[2] - 1, true.shape[1] - 1])[:, None, None]
        errors.append((sampling_map + 1) / 2 * last - true)
    stacked = torch.stack(errors)
    changes = (stacked[1:] - stacked[:-1]).square().sum(1).sqrt()
    return changes.nanmean().item(), stacked.square().sum(1).sqrt().nanmean().item()
