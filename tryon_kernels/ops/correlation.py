"""The ops `correlation` and `correlation_backward`: schema, shapes, autograd and autocast."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels import eager
from tryon_kernels.checks import check_correlation
from tryon_kernels.ops.gradients import differentiable
from tryon_kernels.ops.library import (
    library,
    lowered,
    new_gradient,
    new_output,
    register_autocast,
)

library.define(
    "correlation(Tensor first, Tensor second, int radius, int stride, float? negative_slope, bool mean) -> Tensor"
)
# `output` is given exactly where there is a negative slope: its sign says which of the two slopes a value took.
library.define(
    "correlation_backward(Tensor grad_output, Tensor first, Tensor second, Tensor? output, int radius, int stride,"
    " float? negative_slope, bool mean, bool first_needed, bool second_needed) -> (Tensor, Tensor)"
)


@torch.library.register_fake("tryon_kernels::correlation", lib=library)
def _(first: Tensor, second: Tensor, radius: int, stride: int, negative_slope: float | None, mean: bool) -> Tensor:
    check_correlation(first, second, radius, stride, negative_slope)
    centres = (-(-size // stride) for size in first.shape[2:])
    return new_output(first, (first.shape[0], (2 * radius + 1) ** 2, *centres))


@torch.library.register_fake("tryon_kernels::correlation_backward", lib=library)
def _(
    grad_output: Tensor,
    first: Tensor,
    second: Tensor,
    output: Tensor | None,
    radius: int,
    stride: int,
    negative_slope: float | None,
    mean: bool,
    first_needed: bool,
    second_needed: bool,
) -> tuple[Tensor, Tensor]:
    check_correlation(first, second, radius, stride, negative_slope)
    return new_gradient(first, first_needed), new_gradient(second, second_needed)


operation = differentiable("correlation", eager.correlation, tensors=2, slope=2)
register_autocast("correlation", lambda first, second, *options: (*lowered(first, second), *options))
