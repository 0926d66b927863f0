"""Distances of features, after ReLU, from a target, for numbers that lie one after the other in memory."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from tryon_kernels.gpu.kernels import DISTANCES
from tryon_kernels.triton.sample import sum_type

WARPS = 4


@triton.jit
def _measure(features, target, activated, sums, size, number: tl.constexpr, NUMBERS: tl.constexpr):
    program = tl.program_id(0)
    index = program.to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    real = index < size
    value = tl.load(features + index, mask=real, other=0).to(number)
    if activated is not None:
        value = tl.where(value <= 0, 0, value)  # what is not a number stays
        tl.store(activated + index, value.to(activated.dtype.element_ty), mask=real)
    apart = value - tl.load(target + index, mask=real, other=0).to(number)
    tl.store(sums + program, tl.sum(tl.abs(apart), axis=0))


@triton.jit
def _differentiate_distance(
    grad_activated, grad_distance, activated, target, grad_features, grad_target, size,
    relu: tl.constexpr, number: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    index = tl.program_id(0).to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    real = index < size
    value = tl.load(activated + index, mask=real, other=0).to(number)
    gradient = tl.zeros((NUMBERS,), number)
    if grad_distance is not None:
        apart = value - tl.load(target + index, mask=real, other=0).to(number)
        sign = (apart > 0).to(number) - (apart < 0).to(number)
        gradient = sign * (tl.load(grad_distance) / tl.cast(size, number))
    if grad_target is not None:
        tl.store(grad_target + index, (-gradient).to(grad_target.dtype.element_ty), mask=real)
    if grad_features is not None:
        if grad_activated is not None:
            gradient += tl.load(grad_activated + index, mask=real, other=0).to(number)
        if relu:
            gradient = tl.where(value <= 0, 0, gradient)
        tl.store(grad_features + index, gradient.to(grad_features.dtype.element_ty), mask=real)


def measure(features: Tensor, target: Tensor, activated: Tensor | None, sums: Tensor) -> None:
    """See `tryon_kernels.gpu.kernels`."""
    _measure[(sums.numel(),)](
        features, target, activated, sums, features.numel(), sum_type(features), DISTANCES, num_warps=WARPS
    )


def differentiate_distance(
    grad_activated: Tensor | None, grad_distance: Tensor | None, activated: Tensor, target: Tensor, relu: bool,
    grad_features: Tensor | None, grad_target: Tensor | None,
) -> None:  # fmt: skip
    """See `tryon_kernels.gpu.kernels`."""
    _differentiate_distance[(triton.cdiv(activated.numel(), DISTANCES),)](
        grad_activated, grad_distance, activated, target, grad_features, grad_target, activated.numel(),
        relu, sum_type(activated), DISTANCES, num_warps=WARPS,
    )  # fmt: skip
