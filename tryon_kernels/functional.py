"""The public operations: arguments are checked here, then the chosen backend runs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tryon_kernels import eager
from tryon_kernels.checks import check_correlation, check_grid_sample, check_warp


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample an image at normalised positions: `torch.nn.functional.grid_sample` with the same signature and result."""
    align_corners = bool(align_corners)
    if mode != "bilinear" or padding_mode not in ("zeros", "border") or input.dim() != 4:
        return F.grid_sample(input, grid, mode, padding_mode, align_corners)
    grid = _as_positions(grid, input)
    check_grid_sample(input, grid, padding_mode)
    return eager.grid_sample(input, grid, padding_mode, align_corners)


def warp(input: Tensor, flow: Tensor, *, padding_mode: str = "border") -> Tensor:
    """Sample an image where a flow points: output[y, x] = input[y + flow_y[y, x], x + flow_x[y, x]], bilinearly."""
    flow = _as_positions(flow, input)
    check_warp(input, flow, padding_mode)
    return eager.warp(input, flow, padding_mode)


def correlation(
    first: Tensor, second: Tensor, *, radius: int = 3, stride: int = 1, negative_slope: float | None = None
) -> Tensor:
    """Correlation volume of two feature maps over a square window of displacements."""
    check_correlation(first, second, radius, stride, negative_slope)
    return eager.correlation(first, second, radius, stride, negative_slope)


def warp_correlation(
    first: Tensor,
    second: Tensor,
    grid: Tensor,
    *,
    radius: int = 3,
    negative_slope: float | None = None,
    padding_mode: str = "border",
    align_corners: bool = True,
) -> Tensor:
    """Correlation volume of the first map, warped by a sampling grid, and the second."""
    warped = grid_sample(first, grid, "bilinear", padding_mode, align_corners)
    return correlation(warped, second, radius=radius, negative_slope=negative_slope)


def _as_positions(positions: Tensor, input: Tensor) -> Tensor:
    """Positions of less than float32 are raised to it, whatever the features are."""
    return positions.float() if positions.is_floating_point() and positions.element_size() < 4 else positions
