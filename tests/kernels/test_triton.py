"""What only the GPU kernels do; all that they share with the others is tested with these."""

from __future__ import annotations

import pytest
import torch
from kernel_inputs import COMPILED, DEVICE, Case, assert_within_rounding, features, run, sample_inputs, with_dtype

import tryon_kernels as tk

pytestmark = pytest.mark.skipif(COMPILED == "cpp", reason="concerns GPU kernels; with TRITON_INTERPRET=1 they run here")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", sample_inputs("warp"), ids=str)
def test_gradients_that_need_not_be_the_same_each_time_are_the_references(case: Case, dtype: torch.dtype) -> None:
    case = with_dtype(case, dtype)
    grad_output = case.output_gradient()
    torch.use_deterministic_algorithms(False)
    assert_within_rounding(case, run(case.public, case.tensors, grad_output), grad_output)


def gradient_of_pixels_in_order(order: torch.Tensor, grad_output: torch.Tensor) -> torch.Tensor:
    """The image's gradient where the output's pixels, and so the programs that add to it, have changed places."""
    image = features(1, 2, 3, 4).float().to(DEVICE).requires_grad_()
    at = (features(1, 2, 1, order.numel(), seed=1) * 24).round().float() / 8
    own = torch.stack([torch.arange(order.numel()), torch.zeros(order.numel())]).view(1, 2, 1, -1)
    flow = (at[..., order] - own).to(DEVICE)
    return torch.autograd.grad(tk.warp(image, flow), image, grad_output[..., order].to(DEVICE))[0]


def test_a_deterministic_gradient_is_the_same_bits_in_whatever_order_it_is_added_up() -> None:
    pixels = 700
    grad_output = features(1, 2, 1, pixels, seed=2).float() * torch.logspace(-9, 9, pixels)
    # Positions are a flow plus the pixel's own place: multiples of an eighth survive that, so orders can be compared.
    expected = gradient_of_pixels_in_order(torch.arange(pixels), grad_output)
    for seed in range(3):
        order = torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(gradient_of_pixels_in_order(order, grad_output), expected)


def test_a_deterministic_gradient_keeps_what_is_not_finite() -> None:
    image = torch.zeros(1, 1, 1, 4, device=DEVICE, requires_grad=True)
    grad_output = torch.tensor([torch.inf, -torch.inf, torch.nan, 2.0], device=DEVICE).view(1, 1, 1, 4)
    flow = torch.zeros(1, 2, 1, 4, device=DEVICE)
    (gradient,) = torch.autograd.grad(tk.warp(image, flow, padding_mode="zeros"), image, grad_output)
    with tk.use_backend("eager"):
        (expected,) = torch.autograd.grad(tk.warp(image, flow, padding_mode="zeros"), image, grad_output)
    torch.testing.assert_close(gradient, expected, equal_nan=True)
