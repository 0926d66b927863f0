"""What only the GPU kernels do; all that they share with the others is tested with these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from kernel_inputs import (
    COMPILED,
    DEVICE,
    LAYOUTS,
    SIMULATED,
    Case,
    assert_within_rounding,
    features,
    flow_to,
    generator,
    in_turn,
    run,
    sample_inputs,
    with_dtype,
)

import tryon_kernels as tk
from tryon_kernels import gpu
from tryon_kernels.gpu.kernels import CHUNK

pytestmark = pytest.mark.skipif(COMPILED == "cpp", reason="concerns GPU kernels; with TRITON_INTERPRET=1 they run here")


@pytest.mark.parametrize(("case", "dtype"), in_turn(sample_inputs("warp"), [torch.float32, torch.bfloat16]), ids=str)
def test_gradients_that_need_not_be_the_same_each_time_are_the_references(case: Case, dtype: torch.dtype) -> None:
    case = with_dtype(case, dtype)
    grad_output = case.output_gradient()
    torch.use_deterministic_algorithms(False)
    assert_within_rounding(case, run(case.public, case.tensors, grad_output), grad_output)


def test_only_the_first_axis_of_a_grid_is_as_long_as_there_are_images() -> None:
    pytest.importorskip("triton")
    from tryon_kernels.triton.tiles import sample_tile

    tile = sample_tile(features(1, 3, 4, 4).to(DEVICE))
    images = 2**16  # CUDA's other axes end one before
    assert tile.grid(2 * tile.pixels, 2 * tile.channels * tile.steps, images) == (2 * images, 2)


def crowded(hits: Sequence[int], channels: int, padding_mode: str, layout: str = "contiguous") -> Case:
    """Two images of 3 x 4 pixels, of whose cells the first ones have so many samples, in mixed order."""
    cells = torch.cat([torch.full((count,), cell) for cell, count in enumerate(hits)])
    fractions = (features(2, 2, cells.numel(), seed=1) + 1) * 0.4 + 0.1
    mixed = torch.stack([cells[torch.randperm(cells.numel(), generator=generator(n))] for n in range(2)])
    at = (torch.stack([mixed % 3, mixed // 3], dim=1) + fractions)[:, :, None]
    name = f"{list(hits)} samples, {channels} channels, {padding_mode}, {layout}"
    return Case("warp", name, (LAYOUTS[layout](features(2, channels, 3, 4)), flow_to(at)), (padding_mode,))


# Chunks that are whole in a cell, that begin in one and end in another, and cells that no chunk is whole in.
HITS = ((1, CHUNK - 1, CHUNK, 2 * CHUNK), (CHUNK // 2, CHUNK, 1, 3 * CHUNK + 1), (0, 0, 0, 0, 0, 5 * CHUNK - 1))


@pytest.mark.parametrize(
    ("hits", "memory"),
    in_turn(HITS, [("channels_last", torch.bfloat16), ("contiguous", torch.float32)]),
    ids=str,
)
def test_many_samples_of_one_cell_add_up(hits: Sequence[int], memory: tuple[str, torch.dtype]) -> None:
    layout, dtype = memory
    channels = 3 if layout == "contiguous" else 16
    case = with_dtype(crowded(hits, channels, "border", layout), dtype)
    grad_output = LAYOUTS[layout](case.output_gradient())
    assert_within_rounding(case, run(case.public, case.tensors, grad_output), grad_output)


def test_images_beyond_a_grids_axis_are_summed_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr("tryon_kernels.triton.cells.LONGEST_AXIS", 1)
    case = crowded(HITS[0], 3, "border")
    grad_output = case.output_gradient()
    assert_within_rounding(case, run(case.public, case.tensors, grad_output), grad_output)


def test_what_is_no_number_in_one_of_many_gradients_comes_to_four_pixels_only() -> None:
    case = with_dtype(crowded((2 * CHUNK, 2 * CHUNK), 1, "zeros"), torch.float32)
    grad_output = case.output_gradient()
    in_first_cell = case.tensors[1][0, 0, 0] + torch.arange(grad_output.shape[3]) < 1
    grad_output[0, 0, 0, in_first_cell.nonzero()[CHUNK]] = torch.nan
    spread = run(case.public, case.tensors, grad_output).gradients[0].isnan()
    expected = torch.zeros_like(spread)
    expected[0, 0, :2, :2] = True
    assert torch.equal(spread, expected)


def test_samples_outside_give_nothing_however_many_they_are() -> None:
    flow = torch.full((1, 2, 4, CHUNK), 1e9)
    image = torch.ones(1, 2, 3, 4)
    assert not run(lambda *tensors: tk.warp(*tensors, padding_mode="zeros"), (image, flow)).gradients[0].any()


@pytest.mark.skipif(not SIMULATED, reason="would move gigabytes to a GPU")
@pytest.mark.parametrize("deterministic", [True, False], ids=["deterministic", "any order"])
@pytest.mark.parametrize("axis", range(4))
def test_an_outputs_gradient_may_lie_2_to_the_31_numbers_apart(axis: int, deterministic: bool) -> None:
    torch.use_deterministic_algorithms(deterministic)
    image, flow = features(2, 2, 2, 2).half().requires_grad_(), torch.full((2, 2, 2, 2), 0.25)
    values = features(2, 2, 2, 2, seed=1).half()
    strides = [8, 4, 2, 1]
    strides[axis] = 2**31
    memory = torch.from_numpy(np.empty(2**31 + 16, np.float16))  # of which a few pages are touched
    apart = memory.as_strided(values.shape, strides).copy_(values)
    warped = tk.warp(image, flow)
    found, expected = (torch.autograd.grad(warped, image, grad, retain_graph=True)[0] for grad in (apart, values))
    assert torch.equal(found, expected)


def test_more_output_pixels_than_can_be_numbered_are_refused() -> None:
    image = torch.empty(1, 1, 1, 1, device="meta")
    flow, grad_output = (torch.empty(1, count, 2**16, 2**15, device="meta") for count in (2, 1))
    with pytest.raises(ValueError, match="positions: got 2147483648 output pixels, expected 2147483583 or fewer"):
        gpu.warp_backward(None, grad_output, image, flow, "border", True, False)


def test_a_deterministic_gradient_keeps_what_is_not_finite() -> None:
    image = torch.zeros(1, 1, 1, 4, device=DEVICE, requires_grad=True)
    grad_output = torch.tensor([torch.inf, -torch.inf, torch.nan, 2.0], device=DEVICE).view(1, 1, 1, 4)
    flow = torch.zeros(1, 2, 1, 4, device=DEVICE)
    (gradient,) = torch.autograd.grad(tk.warp(image, flow, padding_mode="zeros"), image, grad_output)
    with tk.use_backend("eager"):
        (expected,) = torch.autograd.grad(tk.warp(image, flow, padding_mode="zeros"), image, grad_output)
    torch.testing.assert_close(gradient, expected, equal_nan=True)
