"""The ops `grid_sample` and `grid_sample_backward`: schema, shapes, autograd and autocast."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels import eager
from tryon_kernels.checks import check_grid_sample
from tryon_kernels.ops.gradients import differentiable
from tryon_kernels.ops.library import (
    as_positions,
    library,
    new_gradient,
    new_output,
    register_autocast,
)

library.define("grid_sample(Tensor input, Tensor grid, str padding_mode, bool align_corners) -> Tensor")
library.define(
    "grid_sample_backward(Tensor grad_output, Tensor input, Tensor grid, str padding_mode, bool align_corners,"
    " bool input_needed, bool grid_needed) -> (Tensor, Tensor)"
)


@torch.library.register_fake("tryon_kernels::grid_sample", lib=library)
def _(input: Tensor, grid: Tensor, padding_mode: str, align_corners: bool) -> Tensor:
    check_grid_sample(input, grid, padding_mode)
    return new_output(input, (*input.shape[:2], *grid.shape[1:3]))


@torch.library.register_fake("tryon_kernels::grid_sample_backward", lib=library)
def _(
    grad_output: Tensor,
    input: Tensor,
    grid: Tensor,
    padding_mode: str,
    align_corners: bool,
    input_needed: bool,
    grid_needed: bool,
) -> tuple[Tensor, Tensor]:
    check_grid_sample(input, grid, padding_mode)
    return new_gradient(input, input_needed), new_gradient(grid, grid_needed)


operation = differentiable("grid_sample", eager.grid_sample, tensors=2)
register_autocast("grid_sample", lambda input, grid, *options: (input, as_positions(grid), *options))
