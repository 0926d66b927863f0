"""The ops `warp_correlation` and `warp_correlation_backward`: schema, shapes, autograd and autocast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tryon_kernels import eager
from tryon_kernels.checks import check_warp_correlation
from tryon_kernels.ops.library import (
    as_positions,
    library,
    lowered,
    new_gradient,
    new_output,
    register_autocast,
    register_double_backward,
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


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    first, second, grid, *ctx.options = inputs
    ctx.save_for_backward(first, second, grid, None if ctx.options[1] is None else output)


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad[:3]
    gradients = torch.ops.tryon_kernels.warp_correlation_backward(
        grad_output, *ctx.saved_tensors, *ctx.options, *needed
    )
    return (*(g if wanted else None for g, wanted in zip(gradients, needed, strict=True)), *(None,) * len(ctx.options))


def _forward_again(first: Tensor, second: Tensor, grid: Tensor, output: Tensor | None, *options: Any) -> Tensor:
    return eager.warp_correlation(first, second, grid, *options)


torch.library.register_autograd("tryon_kernels::warp_correlation", _backward, setup_context=_setup_context, lib=library)
register_double_backward("warp_correlation", _forward_again, tensors=3)
register_autocast(
    "warp_correlation",
    lambda first, second, grid, *options: (*lowered(first, second), as_positions(grid), *options),
)
