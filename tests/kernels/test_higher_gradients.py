"""Gradients of gradients, to any order and in either mode: right, or an error, but never wrong without a word."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import BACKENDS, OPS, Case, between_orders, features, flow_to, grid_to, positions, to_device
from torch import Tensor
from torch.autograd import forward_ad

import tryon_kernels as tk

SIZE = (3, 4)
FLOW, GRID = flow_to(positions(1, *SIZE, SIZE)), grid_to(positions(1, *SIZE, SIZE), SIZE, True)
PAIR = (features(1, 2, *SIZE), features(1, 2, *SIZE, seed=1))
CASES = {
    "warp": Case("warp", "small", (PAIR[0], FLOW), ("border",)),
    "grid_sample": Case("grid_sample", "small", (PAIR[0], GRID), ("zeros", True)),
    "correlation": Case("correlation", "small", PAIR, (1, 1, 0.1, True)),
    "warp_correlation": Case("warp_correlation", "small", (*PAIR, GRID), (1, 0.1, "border", True)),
}
PADDING = {"warp": "border", "grid_sample": "zeros", "warp_correlation": "border"}
TORCHS_BACKWARD = "grid_sampler(_2d)?_backward"  # cudnn_grid_sampler_backward on a GPU, with zeros and aligned corners


def leaves(op: str) -> tuple[Tensor, ...]:
    return tuple(to_device(tensor).detach().clone().requires_grad_() for tensor in CASES[op].tensors)


def gradients(function: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """First gradients of a function whose output is not linear in anything, as a function of its tensors."""
    return torch.autograd.grad(function(*tensors).square().sum(), tensors, create_graph=True)


def torch_bends(padding_mode: str) -> bool:
    """Has torch second gradients of `grid_sample`? 2.10 has none, and says so; cuDNN's, with zeros, is another code."""
    image, at = leaves("grid_sample")
    sampled = F.grid_sample(image, at, padding_mode=padding_mode, align_corners=True)
    (slope,) = torch.autograd.grad(sampled.sum(), at, create_graph=True)
    with suppress(RuntimeError):
        torch.autograd.grad(slope.sum(), at)
        return True
    return False


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_second_and_third_gradients_are_derivatives(op: str, backend: str) -> None:
    with tk.use_backend(backend):
        if backend == "stock" and op != "correlation" and not torch_bends(PADDING[op]):
            with pytest.raises(RuntimeError, match=rf"{TORCHS_BACKWARD} is not implemented"):
                torch.autograd.grad(gradients(CASES[op].public, tensors := leaves(op))[0].sum(), tensors)
            return
        # Four terms for each of up to 108 outputs; each is a product of few numbers that are 4 at most.
        tolerance = between_orders(backend, terms=500, size=500 * 100)
        assert torch.autograd.gradgradcheck(
            lambda *tensors: gradients(CASES[op].public, tensors), leaves(op), fast_mode=True, nondet_tol=tolerance
        )


@pytest.mark.parametrize("accelerated", [False, True])
def test_a_loss_on_a_second_gradient_trains_as_with_the_formula(accelerated: bool) -> None:
    def gradient_of_loss(sample: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
        image, at = leaves("grid_sample")
        value = sample(image, at)
        (slope,) = torch.autograd.grad(value.sum(), at, create_graph=True)
        (bend,) = torch.autograd.grad(slope[..., 0].sum(), at, create_graph=True)
        return torch.autograd.grad(value.square().sum() + bend[..., 1].square().sum(), (image, at))

    def of_torch(image: Tensor, at: Tensor) -> Tensor:
        return F.grid_sample(image, at, align_corners=True)

    def of_ours(image: Tensor, at: Tensor) -> Tensor:
        return tk.grid_sample(image, at, align_corners=True)

    with tk.use_backend("eager"):
        expected = gradient_of_loss(of_ours)
    if torch_bends("zeros"):
        torch.testing.assert_close(gradient_of_loss(of_torch), expected)
    if accelerated:
        with tk.accelerate():
            made = gradient_of_loss(of_torch)
    else:
        made = gradient_of_loss(of_ours)
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_forward_mode_goes_through_a_backward_whose_forward_was_outside_of_it(op: str, backend: str) -> None:
    tensors = leaves(op)
    with tk.use_backend(backend):
        output = CASES[op].public(*tensors)
        grad_output, along = features(*output.shape, seed=3).to(output), features(*output.shape, seed=4).to(output)
        expected = torch.autograd.grad(output, tensors, along, retain_graph=True)
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(grad_output, along)
            if backend == "stock" and op != "correlation":
                with pytest.raises(NotImplementedError, match=TORCHS_BACKWARD):  # torch says so itself
                    torch.autograd.grad(output, tensors, dual)
                return
            made = torch.autograd.grad(output, tensors, dual)
            tangents = [forward_ad.unpack_dual(gradient).tangent for gradient in made]
    torch.testing.assert_close(tangents, list(expected))  # gradients are linear in that of the output


@pytest.mark.parametrize("op", OPS)
def test_only_some_tensors_may_need_higher_gradients(op: str) -> None:
    for index in range(len(CASES[op].tensors)):
        tensors = tuple(tensor.detach().requires_grad_(i == index) for i, tensor in enumerate(leaves(op)))
        (first,) = torch.autograd.grad(CASES[op].public(*tensors).square().sum(), tensors[index], create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), tensors[index])
        with tk.use_backend("eager"):
            (first,) = torch.autograd.grad(CASES[op].public(*tensors).square().sum(), tensors[index], create_graph=True)
            (expected,) = torch.autograd.grad(first.square().sum(), tensors[index])
        torch.testing.assert_close(second, expected)
