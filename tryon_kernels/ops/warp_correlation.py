"""The ops `warp_correlation` and `warp_correlation_backward`: schema, shapes, autograd and autocast."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels import eager
from tryon_kernels.checks import check_warp_correlation
from tryon_kernels.ops.gradients import differentiable
from tryon_kernels.ops.library import (
    as_positions,
    library,
    lowered,
    new_gradient,
    new_output,
    register_autocast,
)

library.define(
    "warp_correlation(Tensor first, Tensor second, Tensor grid, int radius, float? negative_slope, str padding_mode,"
    " bool align_corners) -> Tensor"
)
# `output` is given exactly where there is a negative slope: its sign says which of the two slopes a value took.
library.define(
    "warp_correlation_backward(Tensor grad_output, Tensor first, Tensor second, Tensor grid, Tensor? output,"
    " int radius, float? negative_slope, str padding_mode, bool align_corners,"
    " bool first_needed, bool second_needed, bool grid_needed) -> (Tensor, Tensor, Tensor)"
)


@torch.library.register_fake("tryon_kernels::warp_correlation", lib=library)
def _(
    first: Tensor,
    second: Tensor,
    grid: Tensor,
    radius: int,
    negative_slope: float | None,
    padding_mode: str,
    align_corners: bool,
) -> Tensor:
    check_warp_correlation(first, second, grid, radius, negative_slope, padding_mode)
    return new_output(first, (first.shape[0], (2 * radius + 1) ** 2, *second.shape[2:]))


@torch.library.register_fake("tryon_kernels::warp_correlation_backward", lib=library)
def _(
    grad_output: Tensor,
    first: Tensor,
    second: Tensor,
    grid: Tensor,
    output: Tensor | None,
    radius: int,
    negative_slope: float | None,
    padding_mode: str,
    align_corners: bool,
    first_needed: bool,
    second_needed: bool,
    grid_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    check_warp_correlation(first, second, grid, radius, negative_slope, padding_mode)
    return new_gradient(first, first_needed), new_gradient(second, second_needed), new_gradient(grid, grid_needed)


operation = differentiable("warp_correlation", eager.warp_correlation, tensors=3, slope=1)
register_autocast(
    "warp_correlation",
    lambda first, second, grid, *options: (*lowered(first, second), as_positions(grid), *options),
)
