"""PWC-Net's `warp` and RAFT's `bilinear_sampler` against the published formulas on torch's own grid_sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import tryon_kernels as tk
from tryon_kernels.compat import warping

SIZES = [(7, 9), (2, 3), (1, 6), (5, 1), (1, 1)]


def normalised_warp(x: Tensor, flo: Tensor, align_corners: bool, mask: bool) -> Tensor:
    """The formula, in the dtype of its arguments; pixel positions come from counting, not from the code under test."""
    height, width = x.shape[2:]
    rows, columns = (torch.ones(height, width).cumsum(axis).to(x) - 1 for axis in (0, 1))
    axes = [(columns + flo[:, 0], width), (rows + flo[:, 1], height)]
    grid = torch.stack([2 * v / max(size - 1, 1) - 1 for v, size in axes], dim=-1)
    output = F.grid_sample(x, grid, padding_mode="zeros", align_corners=align_corners)
    if mask:
        weight = F.grid_sample(torch.ones_like(x), grid, padding_mode="zeros", align_corners=align_corners).detach()
        output = output * (weight >= 0.9999)
    return output


def normalised_sampler(img: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
    height, width = img.shape[-2:]
    grid = torch.stack([2 * coords[..., 0] / (width - 1) - 1, 2 * coords[..., 1] / (height - 1) - 1], dim=-1)
    inside = (grid.abs() < 1).prod(-1, keepdim=True)
    return F.grid_sample(img, grid, padding_mode="zeros", align_corners=True), inside


def gradients(function: Callable[..., Tensor], *leaves: Tensor) -> tuple[Tensor, ...]:
    """A result, and the gradients of a weighted sum of it."""
    leaves = tuple(leaf.detach().clone().requires_grad_() for leaf in leaves)
    output = function(*leaves)
    torch.manual_seed(1)
    weights = torch.randn(output.shape, dtype=torch.float64).to(output)
    return output.detach(), *torch.autograd.grad((output * weights).sum(), leaves)


def assert_as_formula(got: tuple[Tensor, ...], wanted: tuple[Tensor, ...], **tolerance: float) -> None:
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, **tolerance)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("align_corners", [True, False])
def test_warp_has_the_values_and_gradients_of_the_formula(
    size: tuple[int, int], mask: bool, align_corners: bool
) -> None:
    x, flo = torch.randn(2, 3, *size, dtype=torch.float64), 2 * torch.randn(2, 2, *size, dtype=torch.float64)
    got = gradients(lambda *leaves: warping.warp(*leaves, align_corners=align_corners, mask=mask), x, flo)
    assert_as_formula(got, gradients(lambda *leaves: normalised_warp(*leaves, align_corners, mask), x, flo))


# Positions of a few pixels are rounded to 2e-7 of themselves in the formula and here; gradients sum some 30 products.
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_warp_of_float32_is_the_formula_to_rounding(memory_format: torch.memory_format) -> None:
    x, flo = torch.randn(2, 8, 12, 10).to(memory_format=memory_format), 2 * torch.randn(2, 2, 12, 10)
    got = gradients(warping.warp, x, flo)
    assert got[0].is_contiguous(memory_format=memory_format)
    wanted = gradients(lambda *leaves: normalised_warp(*leaves, True, True), x.double(), flo.double())
    assert_as_formula(got, wanted, rtol=1e-4, atol=1e-4)


def test_warp_without_flow_is_the_input_without_a_blank_border() -> None:
    x = torch.randn(1, 2, 33, 47)
    assert torch.equal(warping.warp(x, torch.zeros(1, 2, 33, 47)), x)


def test_the_mask_blanks_a_sample_that_touches_the_outside() -> None:
    x, flo = torch.ones(1, 1, 4, 4), torch.zeros(1, 2, 4, 4)
    flo[:, 0] = 0.5
    torch.testing.assert_close(warping.warp(x, flo)[0, 0, 0], torch.tensor([1.0, 1, 1, 0]))
    torch.testing.assert_close(warping.warp(x, flo, mask=False)[0, 0, 0], torch.tensor([1.0, 1, 1, 0.5]))


def test_align_corners_decides_what_the_normalisation_means() -> None:
    x, flo = torch.arange(5.0).expand(1, 1, 5, 5), torch.zeros(1, 2, 5, 5)
    inner = warping.warp(x, flo, align_corners=False, mask=False)[0, 0, 2, 1:4]
    torch.testing.assert_close(inner, torch.tensor([1.0, 2, 3]) * 5 / 4 - 0.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_features_take_a_float32_flow(dtype: torch.dtype) -> None:
    x, flo = torch.randn(1, 4, 6, 5).to(dtype), torch.randn(1, 2, 6, 5)
    output = warping.warp(x, flo)
    assert output.dtype == dtype
    wanted = normalised_warp(x.double(), flo.double(), True, True)
    torch.testing.assert_close(output.double(), wanted, rtol=2 * torch.finfo(dtype).eps, atol=1e-5)


def test_a_displacement_that_is_not_finite_samples_nothing() -> None:
    flo = torch.zeros(1, 2, 3, 3)
    flo[0, 0, 0] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    output = warping.warp(torch.ones(1, 1, 3, 3), flo)
    assert torch.equal(output[0, 0], torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 1, 1]]))


@pytest.mark.parametrize("place", [(4, 4), (9, 9), (3, 8)])
def test_sampler_has_the_values_and_gradients_of_the_formula(place: tuple[int, int]) -> None:
    img = torch.randn(3, 2, 6, 7, dtype=torch.float64)
    coords = torch.rand(3, *place, 2, dtype=torch.float64) * 10 - 2
    got = gradients(warping.bilinear_sampler, img, coords)
    assert_as_formula(got, gradients(lambda *leaves: normalised_sampler(*leaves)[0], img, coords))


def test_sampler_of_float32_is_the_formula_to_rounding() -> None:
    img, coords = torch.randn(12, 1, 9, 8), torch.rand(12, 7, 7, 2) * 12 - 2
    wanted = gradients(lambda *leaves: normalised_sampler(*leaves)[0], img.double(), coords.double())
    assert_as_formula(gradients(warping.bilinear_sampler, img, coords), wanted, rtol=1e-4, atol=1e-4)


def test_sampler_returns_the_mask_of_positions_strictly_inside() -> None:
    coords = torch.tensor([[0.0, 1], [0.5, 0.5], [5, 1], [4.5, 3], [4.5, 2.5], [-1, -1]]).view(1, 2, 3, 2)
    img = torch.randn(1, 2, 4, 6)
    output, mask = warping.bilinear_sampler(img, coords, mask=True)
    assert mask.dtype == torch.float32
    assert mask.flatten().tolist() == [0, 1, 0, 0, 1, 0]
    assert torch.equal(mask, normalised_sampler(img, coords)[1].float())
    assert torch.equal(output, warping.bilinear_sampler(img, coords))


def test_sampler_counts_pixels_in_an_image_of_one_row() -> None:
    coords = torch.tensor([[0.0, 0], [1.25, 0], [2, 0.5], [0, 1]]).view(1, 1, 4, 2)
    output, mask = warping.bilinear_sampler(torch.tensor([[[[1.0, 2, 4]]]]), coords, mask=True)
    torch.testing.assert_close(output.flatten(), torch.tensor([1.0, 2.5, 2, 0]))
    assert not mask.any()


def test_both_run_in_a_compiled_graph() -> None:
    x, flo = torch.randn(1, 3, 5, 6), torch.randn(1, 2, 5, 6)

    def both(x: Tensor, flo: Tensor) -> Tensor:
        sampled = warping.bilinear_sampler(x, flo.permute(0, 2, 3, 1))
        assert isinstance(sampled, Tensor)
        return warping.warp(x, flo) + sampled

    torch.testing.assert_close(torch.compile(both, backend="aot_eager", fullgraph=True)(x, flo), both(x, flo))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: warping.warp(x, torch.zeros(1, 2, 4, 5)), ValueError, "flo: got height and width"),
        (lambda x: warping.warp(x, torch.zeros(1, 3, 4, 4)), ValueError, "flow: got shape 1 x 3 x 4 x 4"),
        (lambda x: warping.warp(x.int(), torch.zeros(1, 2, 4, 4)), TypeError, "input: got torch.int32"),
        (lambda x: warping.bilinear_sampler(x, torch.zeros(1, 2, 4, 4)), ValueError, "coords: got shape"),
        (lambda x: warping.bilinear_sampler(x, torch.zeros(1, 4, 4, 2), mode="nearest"), ValueError, "mode: got"),
    ],
)
def test_what_does_not_fit_is_named(call: Callable[[Tensor], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(torch.zeros(1, 1, 4, 4))


def test_the_package_keeps_its_own_warp() -> None:
    assert tk.warp is not warping.warp
