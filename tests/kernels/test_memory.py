"""What a fused operation is for: the memory that it does without."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_inputs import COMPILED, CPU_LIBRARY, LAYOUTS
from torch import Tensor

import tryon_kernels as tk

pytestmark = pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)
THREADS = 2  # each has memory of its own


def most_memory(call: Callable[[], object]) -> int:
    """The most bytes that a call holds at once, beyond what there was before it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        kept = call()
    del kept
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def size_of(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_distance_of_features_needs_no_memory_but_for_its_results(layout: str, relu: bool) -> None:
    first, second = (LAYOUTS[layout](torch.ones(2, 64, 64, 48)) for _ in range(2))
    outputs: list[Tensor] = []
    forward = most_memory(lambda: outputs.extend(tk.feature_distance(first.requires_grad_(), second, relu=relu)))
    activated, distance = outputs
    assert forward == relu * size_of(activated) + size_of(distance)
    along = torch.ones_like(first), torch.ones_like(distance)
    backward = torch.ops.tryon_kernels.feature_distance_backward
    assert most_memory(lambda: backward(*along, activated.detach(), second, relu, True, False)) == size_of(first)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("size", [(64, 48), (128, 96)])
def test_a_fused_warp_needs_a_tenth_of_the_memory_of_a_warped_map_and_its_gradient(
    size: tuple[int, int], layout: str
) -> None:
    first, second = (LAYOUTS[layout](torch.ones(4, 256, *size)).requires_grad_() for _ in range(2))
    grid = torch.zeros(4, *size, 2, requires_grad=True)
    bound = 0.1 * 2 * size_of(first)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(THREADS)
        outputs: list[Tensor] = []
        forward = most_memory(lambda: outputs.append(tk.warp_correlation(first, second, grid, negative_slope=0.1)))
        (output,) = outputs
        assert forward - size_of(output) <= bound
        gradient = torch.ones_like(output)
        backward = most_memory(lambda: torch.autograd.grad(output, (first, second, grid), gradient))
        assert backward - size_of(first, second, grid) <= bound
    finally:
        torch.set_num_threads(before)
