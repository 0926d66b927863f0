"""The ops' Triton kernels, for GPUs of NVIDIA and AMD; tensors of a CPU are served by Triton's interpreter.

With `TRITON_INTERPRET=1` in the environment Triton runs its kernels on the CPU, one program after the other: to find
out what they compute, not for speed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels.checks import check_grad_output, check_grid_sample, check_warp, check_warp_correlation
from tryon_kernels.ops.library import new_gradient
from tryon_kernels.triton.correlation import correlation, correlation_backward, gather, multiply
from tryon_kernels.triton.positions import CORNERS_ALIGNED, EDGES_ALIGNED, PIXEL_OFFSETS
from tryon_kernels.triton.sample import sample, sample_backward


def _coordinates(align_corners: bool) -> int:
    return (CORNERS_ALIGNED if align_corners else EDGES_ALIGNED).value


def _axes_first(grid: Tensor) -> Tensor:
    return grid.permute(0, 3, 1, 2)


def warp(input: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """See `tryon_kernels.eager`."""
    check_warp(input, flow, padding_mode)
    return sample(input, flow, PIXEL_OFFSETS.value, padding_mode == "border")


def warp_backward(
    grad_output: Tensor, input: Tensor, flow: Tensor, padding_mode: str, input_needed: bool, flow_needed: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of image and flow."""
    check_warp(input, flow, padding_mode)
    check_grad_output(grad_output, input, *input.shape[:2], *flow.shape[2:])
    grad_flow = new_gradient(flow, flow_needed)
    border = padding_mode == "border"
    grad_input = sample_backward(
        grad_output, input, flow, grad_flow, PIXEL_OFFSETS.value, border, input_needed, flow_needed
    )
    return grad_input, grad_flow


def grid_sample(input: Tensor, grid: Tensor, padding_mode: str, align_corners: bool) -> Tensor:
    """See `tryon_kernels.eager`."""
    check_grid_sample(input, grid, padding_mode)
    return sample(input, _axes_first(grid), _coordinates(align_corners), padding_mode == "border")


def grid_sample_backward(
    grad_output: Tensor, input: Tensor, grid: Tensor, padding_mode: str, align_corners: bool, input_needed: bool,
    grid_needed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of image and grid."""
    check_grid_sample(input, grid, padding_mode)
    check_grad_output(grad_output, input, *input.shape[:2], *grid.shape[1:3])
    grad_grid = new_gradient(grid, grid_needed)
    to = _axes_first(grad_grid) if grid_needed else grad_grid
    grad_input = sample_backward(
        grad_output, input, _axes_first(grid), to, _coordinates(align_corners), padding_mode == "border", input_needed,
        grid_needed,
    )  # fmt: skip
    return grad_input, grad_grid


def warp_correlation(
    first: Tensor, second: Tensor, grid: Tensor, radius: int, negative_slope: float | None, padding_mode: str,
    align_corners: bool,
) -> Tensor:  # fmt: skip
    """See `tryon_kernels.eager`. The sampled map is never in memory."""
    check_warp_correlation(first, second, grid, radius, negative_slope, padding_mode)
    return multiply(
        first, second, _axes_first(grid), radius, negative_slope, _coordinates(align_corners), padding_mode == "border"
    )


def warp_correlation_backward(
    grad_output: Tensor, first: Tensor, second: Tensor, grid: Tensor, output: Tensor | None, radius: int,
    negative_slope: float | None, padding_mode: str, align_corners: bool, first_needed: bool, second_needed: bool,
    grid_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of both maps and of the grid. The sampled map's gradient is in memory, the sampled map is not."""
    check_warp_correlation(first, second, grid, radius, negative_slope, padding_mode)
    check_grad_output(grad_output, first, second.shape[0], (2 * radius + 1) ** 2, *second.shape[2:])
    coordinates, border = _coordinates(align_corners), padding_mode == "border"
    grad_first, grad_second = new_gradient(first, first_needed), new_gradient(second, second_needed)
    grad_grid = new_gradient(grid, grid_needed)
    if second_needed:
        positions = _axes_first(grid)
        gather(grad_output, output, first, grad_second, positions, radius, negative_slope, True, coordinates, border)
    if first_needed or grid_needed:
        grad_warped = torch.empty_like(second)
        gather(grad_output, output, second, grad_warped, None, radius, negative_slope, False)
        grad_first, grad_grid = grid_sample_backward(
            grad_warped, first, grid, padding_mode, align_corners, first_needed, grid_needed
        )
    return grad_first, grad_second, grad_grid


__all__ = [
    "correlation",
    "correlation_backward",
    "grid_sample",
    "grid_sample_backward",
    "warp",
    "warp_backward",
    "warp_correlation",
    "warp_correlation_backward",
]
