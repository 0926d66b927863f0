"""Holding a garment steady in time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tryon.video.steady import flicker, steadied


def moving(count: int) -> list[Tensor]:
    """Maps that change by the same amount from frame to frame."""
    generator = torch.Generator().manual_seed(0)
    start, step = torch.rand(2, 1, 2, 6, 4, generator=generator)
    return [start + 0.1 * k * step for k in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 9])
@pytest.mark.parametrize("reach", [0, 1, 3])
def test_every_frame_has_a_map_and_even_motion_is_not_dragged_behind(count: int, reach: int) -> None:
    maps = moving(count)
    found = list(steadied(maps, reach))
    assert len(found) == count
    for one, expected in zip(found, maps, strict=True):
        torch.testing.assert_close(one, expected)


def test_noise_is_averaged_with_binomial_weights() -> None:
    maps = [torch.full((1, 2, 1, 1), float(value)) for value in (0, 0, 0, 16, 0, 0, 0)]
    assert [one[0, 0, 0, 0].item() for one in steadied(maps, 2)] == [0, 0, 4, 6, 4, 0, 0]


def test_maps_come_before_later_frames_are_read() -> None:
    read = []

    def frames() -> list[Tensor]:
        for number, sampling_map in enumerate(moving(9)):
            read.append(number)
            yield sampling_map

    next(steadied(frames(), 2))
    assert read == [0, 1, 2]


def test_flicker_is_the_change_of_the_error_and_not_the_error() -> None:
    truth = [torch.zeros(2, 5, 5) + k for k in range(3)]  # the person moves
    truth[1][:, 0, 0] = torch.nan  # no garment is seen there

    def map_of(place: Tensor) -> Tensor:
        return place / 2 - 1  # of 5 pixels

    still = [map_of(true.nan_to_num() + torch.tensor([3.0, 4.0])[:, None, None]) for true in truth]
    assert flicker(still, truth) == pytest.approx((0, 5), abs=1e-5)
    restless = [still[0], map_of(truth[1].nan_to_num()), still[2]]
    assert flicker(restless, truth)[0] == pytest.approx(5, abs=1e-5)
