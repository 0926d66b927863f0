"""`correlation` and `warp_correlation` on a GPU, and their gradients."""

from __future__ import annotations

from torch import Tensor

from tryon_kernels.checks import check_correlation, check_volume_gradient, check_warp_correlation
from tryon_kernels.gpu.kernels import PIXEL_OFFSETS, Kernels
from tryon_kernels.gpu.sampling import axes_first, coordinates_of, grid_sample_backward
from tryon_kernels.ops.library import new_gradient, new_output

NOT_SAMPLED = (PIXEL_OFFSETS, True)  # what is said of positions that are not there


def correlation(
    kernels: Kernels, first: Tensor, second: Tensor, radius: int, stride: int, negative_slope: float | None, mean: bool
) -> Tensor:
    """See `tryon_kernels.eager`. A stride is the same as stride 1 on every stride-th row and column."""
    check_correlation(first, second, radius, stride, negative_slope)
    first, second = first[:, :, ::stride, ::stride], second[:, :, ::stride, ::stride]
    return _multiply(kernels, first, second, None, radius, _scale(first, mean), negative_slope, *NOT_SAMPLED)


def correlation_backward(
    kernels: Kernels, grad_output: Tensor, first: Tensor, second: Tensor, output: Tensor | None, radius: int,
    stride: int, negative_slope: float | None, mean: bool, first_needed: bool, second_needed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of both maps."""
    check_correlation(first, second, radius, stride, negative_slope)
    centres = (-(-size // stride) for size in first.shape[2:])
    check_volume_gradient(grad_output, output, first, negative_slope, first.shape[0], (2 * radius + 1) ** 2, *centres)
    gradients = new_gradient(first, first_needed), new_gradient(second, second_needed)
    for gradient, other, mirrored, needed in zip(
        gradients, (second, first), (False, True), (first_needed, second_needed), strict=True
    ):
        if needed:
            if stride > 1:
                gradient.zero_()
            to, other = gradient[:, :, ::stride, ::stride], other[:, :, ::stride, ::stride]
            scale = _scale(first, mean)
            _gather(kernels, grad_output, output, other, None, to, scale, negative_slope, mirrored, *NOT_SAMPLED)
    return gradients


def warp_correlation(
    kernels: Kernels, first: Tensor, second: Tensor, grid: Tensor, radius: int, negative_slope: float | None,
    padding_mode: str, align_corners: bool,
) -> Tensor:  # fmt: skip
    """See `tryon_kernels.eager`. The sampled map is never in memory."""
    check_warp_correlation(first, second, grid, radius, negative_slope, padding_mode)
    how = coordinates_of(align_corners), padding_mode == "border"
    return _multiply(kernels, first, second, axes_first(grid), radius, _scale(first), negative_slope, *how)


def warp_correlation_backward(
    kernels: Kernels, grad_output: Tensor, first: Tensor, second: Tensor, grid: Tensor, output: Tensor | None,
    radius: int, negative_slope: float | None, padding_mode: str, align_corners: bool, first_needed: bool,
    second_needed: bool, grid_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of both maps and of the grid. The sampled map's gradient is in memory, the sampled map is not."""
    check_warp_correlation(first, second, grid, radius, negative_slope, padding_mode)
    shape = (second.shape[0], (2 * radius + 1) ** 2, *second.shape[2:])
    check_volume_gradient(grad_output, output, first, negative_slope, *shape)
    grad_first, grad_second = new_gradient(first, first_needed), new_gradient(second, second_needed)
    grad_grid = new_gradient(grid, grid_needed)
    scale = _scale(first)
    if second_needed:
        how = coordinates_of(align_corners), padding_mode == "border"
        _gather(kernels, grad_output, output, first, axes_first(grid), grad_second, scale, negative_slope, True, *how)
    if first_needed or grid_needed:
        grad_warped = new_gradient(second, True)
        _gather(kernels, grad_output, output, second, None, grad_warped, scale, negative_slope, False, *NOT_SAMPLED)
        grad_first, grad_grid = grid_sample_backward(
            kernels, grad_warped, first, grid, padding_mode, align_corners, first_needed, grid_needed
        )
    return grad_first, grad_second, grad_grid


def _scale(features: Tensor, mean: bool = True) -> float:
    """What sums over channels are multiplied with, to become means or to stay what they are."""
    return 1 / max(features.shape[1], 1) if mean else 1.0


def _multiply(
    kernels: Kernels, first: Tensor, second: Tensor, positions: Tensor | None, radius: int, scale: float,
    negative_slope: float | None, coordinates: int, border: bool,
) -> Tensor:  # fmt: skip
    volume = new_output(first, (second.shape[0], (2 * radius + 1) ** 2, *second.shape[2:]))
    if volume.numel() > 0 and first.numel() == 0:
        return volume.zero_()
    if volume.numel() > 0:
        kernels.multiply(first, second, positions, volume, scale, negative_slope, coordinates, border)
    return volume


def _gather(
    kernels: Kernels, grad_volume: Tensor, volume: Tensor | None, other: Tensor, positions: Tensor | None,
    gradient: Tensor, scale: float, negative_slope: float | None, mirrored: bool, coordinates: int, border: bool,
) -> None:  # fmt: skip
    if gradient.numel() > 0 and other.numel() == 0:
        gradient.zero_()
    elif gradient.numel() > 0:
        kernels.gather(
            grad_volume, volume, other, positions, gradient, scale, negative_slope, mirrored, coordinates, border,
        )  # fmt: skip
