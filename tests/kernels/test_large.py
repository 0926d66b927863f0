"""Tensors of more than 2^31 elements; they run only when asked for (-m large), where the memory is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kernel_inputs import COMPILED, CPU_LIBRARY

import tryon_kernels as tk

pytestmark = [pytest.mark.large, pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)]

SIDE = 46_400  # SIDE^2 = 2.15e9 > 2^31
NEEDED = 14 * 2**30  # bytes: two tensors of float16, and what fills them


@pytest.fixture(autouse=True)
def enough_memory() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = next(int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable"))
    if found < NEEDED:
        pytest.skip(f"{found / 2**30:.0f} GiB of memory are free, {NEEDED / 2**30:.0f} are needed")


@pytest.fixture(autouse=True)
def uninitialised_memory_is_nan() -> None:
    """Not here: filling would touch every page once more."""


def test_an_image_is_sampled_and_its_gradient_written_at_its_far_end() -> None:
    image = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float16)
    image[0, 0, -1, -2:] = torch.tensor([2.0, 4.0])
    image.requires_grad_()
    flow = torch.full((1, 2, 1, 1), SIDE - 1.0)
    flow[0, 0] -= 0.5
    sampled = tk.warp(image, flow)
    assert sampled.item() == 3
    sampled.backward()
    assert image.grad is not None
    assert image.grad[0, 0, -1, -3:].tolist() == [0, 0.5, 0.5]
    assert image.grad[0, 0, 0, :3].tolist() == [0, 0, 0]


def test_a_correlation_volume_is_written_to_its_far_end() -> None:
    radius, side = 10, 2_240  # 441 displacements of 2240 x 2240 pixels
    first = torch.ones(1, 1, side, side, dtype=torch.float16)
    second = torch.ones(1, 1, side, side, dtype=torch.float16)
    second[0, 0, -1, -1] = 3
    volume = tk.correlation(first, second, radius=radius)
    assert volume.numel() > 2**31
    assert volume[0, -1, -1, -1] == 0  # beyond the corner
    assert volume[0, 220, -1, -1] == 3  # no displacement
    assert volume[0, -1, -11, -11] == 3  # ten down and to the right
    assert volume[0, -1, 0, 0] == 1
