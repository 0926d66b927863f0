"""torch.func and forward-mode derivatives, which torch cannot take through an op: the eager formulas have them."""

from __future__ import annotations

import pytest
import torch
from kernel_inputs import OPS, Case, sample_inputs
from torch import Tensor
from torch.autograd import forward_ad

import tryon_kernels as tk

CASES = [next(case for case in sample_inputs(op) if case.tensors[0].numel() > 1) for op in OPS]


def directions(case: Case) -> tuple[Tensor, ...]:
    return tuple(tensor.flip(2) for tensor in case.tensors)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_mode_derivatives_are_those_of_backward_mode(case: Case) -> None:
    along = directions(case)
    _, forward = torch.func.jvp(case.public, case.tensors, along)
    leaves = [tensor.clone().requires_grad_() for tensor in case.tensors]
    cotangent = torch.ones_like(forward)
    backward = torch.autograd.grad(case.public(*leaves), leaves, cotangent)
    expected = sum((gradient * direction).sum() for gradient, direction in zip(backward, along, strict=True))
    torch.testing.assert_close((forward * cotangent).sum(), expected)
    with forward_ad.dual_level():
        dual = case.public(*map(forward_ad.make_dual, case.tensors, along))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, forward)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch_func_has_the_gradients_of_autograd(case: Case) -> None:
    leaves = [tensor.clone().requires_grad_() for tensor in case.tensors]
    expected = torch.autograd.grad(case.public(*leaves).square().sum(), leaves)
    everything = tuple(range(len(leaves)))
    made = torch.func.grad(lambda *tensors: case.public(*tensors).square().sum(), argnums=everything)(*case.tensors)
    torch.testing.assert_close(made, expected)


def test_vmap_gives_what_a_loop_gives() -> None:
    image, flow = torch.rand(3, 2, 4, 6, 7), torch.rand(3, 2, 2, 6, 7)
    torch.testing.assert_close(torch.func.vmap(tk.warp)(image, flow), torch.stack(list(map(tk.warp, image, flow))))
    per_sample = torch.func.vmap(torch.func.grad(lambda one, by: tk.warp(one, by).square().sum()))(image, flow)
    leaf = image.clone().requires_grad_()
    sum(tk.warp(one, by).square().sum() for one, by in zip(leaf, flow, strict=True)).backward()
    torch.testing.assert_close(per_sample, leaf.grad)
