"""`warp` and `grid_sample` on a GPU, and their gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels.checks import check_grad_output, check_grid_sample, check_warp
from tryon_kernels.eager import position_dtype
from tryon_kernels.gpu.kernels import CORNERS_ALIGNED, EDGES_ALIGNED, PIXEL_OFFSETS, Kernels
from tryon_kernels.ops.library import new_gradient, new_output

FIXED_POINT_BITS = 62  # of a sum; the sign has one, and one is to spare


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

    The order of floating-point additions by many threads changes from run to run, and so do their roundings. With
    `torch.use_deterministic_algorithms` the sums are therefore integers, which add up to the same in any order: each
    share is a multiple of a power of two so small that sums of all pixels with the largest gradient fit 62 bits. Shares
    that are not finite are noted as bits.
    """
    gradient = new_gradient(input, True)
    if gradient.numel() == 0:
        return gradient
    if grad_output.numel() == 0:
        return gradient.zero_()
    if not torch.are_deterministic_algorithms_enabled():
        wide = gradient.dtype == position_dtype(input)
        sums = gradient.zero_() if wide else torch.zeros_like(gradient, dtype=position_dtype(input))
        kernels.differentiate_input(grad_output, positions, sums, None, None, coordinates, border)
        return gradient if wide else gradient.copy_(sums)
    sums = torch.zeros_like(gradient, dtype=torch.int64)
    unusual, scale = torch.zeros_like(gradient, dtype=torch.int32), _fixed_point_scale(grad_output)
    kernels.differentiate_input(grad_output, positions, sums, unusual, scale, coordinates, border)
    return gradient.copy_(sums.double().div_(scale).add_(_meanings(unusual.device)[unusual]))


def _meanings(device: torch.device) -> Tensor:
    """What is added to a sum for each note of what is not finite; nothing where there is none."""
    meanings = torch.full((4,), torch.nan, dtype=torch.float64, device=device)
    for note, value in enumerate((0.0, torch.inf, -torch.inf)):
        meanings[note] = value  # without a copy from the host, which a CUDA graph could not hold
    return meanings


def _fixed_point_scale(grad_output: Tensor) -> Tensor:
    """What a gradient's shares are multiplied with to become integers: a power of two."""
    pixels = grad_output.shape[2] * grad_output.shape[3]
    largest = grad_output.nan_to_num(0, 0, 0).abs().amax().double().clamp(min=torch.finfo(torch.float64).tiny)
    exponent = FIXED_POINT_BITS - torch.log2(largest * pixels).ceil().clamp(min=-900, max=900)
    return torch.exp2(exponent)
