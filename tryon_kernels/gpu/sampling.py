"""`warp` and `grid_sample` on a GPU, and their gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels.checks import check_grad_output, check_grid_sample, check_warp
from tryon_kernels.eager import position_dtype
from tryon_kernels.gpu.cells import differentiate_in_order
from tryon_kernels.gpu.kernels import CORNERS_ALIGNED, EDGES_ALIGNED, PIXEL_OFFSETS, Kernels
from tryon_kernels.ops.library import new_gradient, new_output


def coordinates_of(align_corners: bool) -> int:
    """What the positions of a grid mean."""
    return CORNERS_ALIGNED if align_corners else EDGES_ALIGNED


def axes_first(grid: Tensor) -> Tensor:
    """A grid as N x 2 x Ho x Wo, in place."""
    return grid.permute(0, 3, 1, 2)


def warp(kernels: Kernels, input: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """See `tryon_kernels.eager`."""
    check_warp(input, flow, padding_mode)
    return _sample(kernels, input, flow, PIXEL_OFFSETS, padding_mode == "border")


def warp_backward(
    kernels: Kernels, grad_output: Tensor, input: Tensor, flow: Tensor, padding_mode: str, input_needed: bool,
    flow_needed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of image and flow."""
    check_warp(input, flow, padding_mode)
    check_grad_output(grad_output, input, *input.shape[:2], *flow.shape[2:])
    grad_flow = new_gradient(flow, flow_needed)
    border = padding_mode == "border"
    if flow_needed:
        _differentiate_positions(kernels, grad_output, input, flow, grad_flow, PIXEL_OFFSETS, border)
    if not input_needed:
        return new_gradient(input, False), grad_flow
    return _differentiate_input(kernels, grad_output, input, flow, PIXEL_OFFSETS, border), grad_flow


def grid_sample(kernels: Kernels, input: Tensor, grid: Tensor, padding_mode: str, align_corners: bool) -> Tensor:
    """See `tryon_kernels.eager`."""
    check_grid_sample(input, grid, padding_mode)
    return _sample(kernels, input, axes_first(grid), coordinates_of(align_corners), padding_mode == "border")


def grid_sample_backward(
    kernels: Kernels, grad_output: Tensor, input: Tensor, grid: Tensor, padding_mode: str, align_corners: bool,
    input_needed: bool, grid_needed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of image and grid."""
    check_grid_sample(input, grid, padding_mode)
    check_grad_output(grad_output, input, *input.shape[:2], *grid.shape[1:3])
    grad_grid, positions = new_gradient(grid, grid_needed), axes_first(grid)
    how = coordinates_of(align_corners), padding_mode == "border"
    if grid_needed:
        _differentiate_positions(kernels, grad_output, input, positions, axes_first(grad_grid), *how)
    if not input_needed:
        return new_gradient(input, False), grad_grid
    return _differentiate_input(kernels, grad_output, input, positions, *how), grad_grid


def _sample(kernels: Kernels, input: Tensor, positions: Tensor, coordinates: int, border: bool) -> Tensor:
    output = new_output(input, (*input.shape[:2], *positions.shape[2:]))
    if output.numel() > 0 and input.numel() == 0:
        return output.zero_()
    if output.numel() > 0:
        kernels.sample(input, positions, output, coordinates, border)
    return output


def _differentiate_positions(
    kernels: Kernels, grad_output: Tensor, input: Tensor, positions: Tensor, gradient: Tensor, coordinates: int,
    border: bool,
) -> None:  # fmt: skip
    if gradient.numel() > 0 and input.numel() == 0:
        gradient.zero_()
    elif gradient.numel() > 0:
        kernels.differentiate_positions(grad_output, input, positions, gradient, coordinates, border)


def _differentiate_input(
    kernels: Kernels, grad_output: Tensor, input: Tensor, positions: Tensor, coordinates: int, border: bool
) -> Tensor:
    """Sums of what each pixel gives to its four taps.

    Many threads add in another order each time, and round differently. With `torch.use_deterministic_algorithms` there
    is one order.
    """
    gradient = new_gradient(input, True)
    if gradient.numel() == 0:
        return gradient
    if grad_output.numel() == 0:
        return gradient.zero_()
    if torch.are_deterministic_algorithms_enabled():
        differentiate_in_order(kernels, grad_output, positions, gradient, coordinates, border)
        return gradient
    wide = gradient.dtype == position_dtype(input)
    sums = gradient.zero_() if wide else torch.zeros_like(gradient, dtype=position_dtype(input))
    kernels.differentiate_input(grad_output, positions, sums, coordinates, border)
    return gradient if wide else gradient.copy_(sums)
