"""The reference formulas, in plain torch: differentiable, for any device and any floating dtype.

Everything else in this package is measured against these functions. docs/ops.md gives the same maths in words.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def memory_format_of(tensor: Tensor) -> torch.memory_format:
    """Memory format of outputs made from this N x C x H x W tensor: channels_last where its channels lie together."""
    channels_together = tensor.shape[1] > 1 and tensor.stride(1) == 1
    return torch.channels_last if channels_together and not tensor.is_contiguous() else torch.contiguous_format


def position_dtype(input: Tensor) -> torch.dtype:
    """Dtype of positions, weights and sums for features of the input's dtype: never less than float32."""
    return torch.float64 if input.dtype == torch.float64 else torch.float32


def grid_sample(input: Tensor, grid: Tensor, padding_mode: str, align_corners: bool) -> Tensor:
    """Sample bilinearly at normalised positions; see `tryon_kernels.grid_sample`."""
    x, y = (_pixels(grid[..., axis], input.shape[3 - axis], align_corners) for axis in (0, 1))
    return _sample(input, x, y, padding_mode)


def warp(input: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """Sample bilinearly at each pixel's own position plus the flow; see `tryon_kernels.warp`."""
    height, width = flow.shape[2:]
    x = flow[:, 0] + torch.arange(width, dtype=flow.dtype, device=flow.device)
    y = flow[:, 1] + torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    return _sample(input, x, y, padding_mode)


def correlation(
    first: Tensor, second: Tensor, radius: int, stride: int, negative_slope: float | None, mean: bool
) -> Tensor:
    """Mean or sum over channels of the products of displaced features; see `tryon_kernels.correlation`."""
    dtype, memory_format = position_dtype(first), memory_format_of(first)
    height, width = first.shape[2:]
    reach = radius * stride
    centres = first[:, :, ::stride, ::stride].to(dtype)
    padded = F.pad(second.to(dtype), (reach, reach, reach, reach))
    steps = range(0, 2 * reach + 1, stride)
    volume = torch.stack(
        [
            (centres * padded[:, :, dy : dy + height : stride, dx : dx + width : stride]).sum(1)
            for dy in steps
            for dx in steps
        ],
        dim=1,
    )
    if mean:
        volume = volume / max(first.shape[1], 1)
    if negative_slope is not None:
        volume = torch.where(volume > 0, volume, volume * negative_slope)
    return volume.to(first.dtype).contiguous(memory_format=memory_format)


def warp_correlation(
    first: Tensor,
    second: Tensor,
    grid: Tensor,
    radius: int,
    negative_slope: float | None,
    padding_mode: str,
    align_corners: bool,
) -> Tensor:
    """Correlation volume of a sampled map with a second one; see `tryon_kernels.warp_correlation`."""
    return correlation(grid_sample(first, grid, padding_mode, align_corners), second, radius, 1, negative_slope, True)


def feature_distance(features: Tensor, target: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
    """Features after ReLU and their mean distance from a target; see `tryon_kernels.feature_distance`.

    Without ReLU a tensor without elements stands in the place of the first, which would be the features themselves.
    """
    activated, wide = features.relu() if relu else features, position_dtype(features)
    distance = (activated.to(wide) - target.to(wide)).abs().mean()
    return activated if relu else features.new_empty(0), distance


def feature_distance_backward(
    grad_activated: Tensor | None,
    grad_distance: Tensor | None,
    activated: Tensor,
    target: Tensor,
    relu: bool,
    features_needed: bool,
    target_needed: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of features and target, from what the features are after ReLU (the features, where there is none)."""
    wide, unneeded = position_dtype(activated), activated.new_empty(0)
    if grad_distance is None:
        signs = torch.zeros_like(activated, dtype=wide)
    else:
        signs = (activated.to(wide) - target.to(wide)).sign_().mul_(grad_distance / activated.numel())
    grad_target = signs.neg().to(target.dtype) if target_needed else unneeded
    if not features_needed:
        return unneeded, grad_target
    if grad_activated is not None:
        signs = signs.add_(grad_activated)
    return passed_by_relu(signs, activated, relu).to(activated.dtype), grad_target


def passed_by_relu(gradient: Tensor, activated: Tensor, relu: bool) -> Tensor:
    """What ReLU, where there is one, passes of a gradient: as torch's, all of it where a value is not a number."""
    return torch.where(activated <= 0, 0, gradient) if relu else gradient


def _pixels(normalised: Tensor, size: int, align_corners: bool) -> Tensor:
    """Pixel position of a normalised one: -1 and 1 are the outer pixels' centres (align_corners) or outer edges."""
    if align_corners:
        return (normalised + 1) / 2 * (size - 1)
    return ((normalised + 1) * size - 1) / 2


def _confine(position: Tensor, size: int, padding_mode: str) -> Tensor:
    """Bring positions into the range where they matter, NaN to its lower end; what was brought in has no gradient."""
    if padding_mode == "border":
        low, high = 0, size - 1
        inside = (position > low) & (position < high)
    else:  # zeros: beyond one pixel outside nothing is sampled any more
        low, high = -2, size
        inside = (position >= -1) & (position <= size)
    confined = torch.nan_to_num(position.detach(), nan=low, posinf=high, neginf=low).clamp(low, high)
    return torch.where(inside, position, confined)


def _sample(input: Tensor, x: Tensor, y: Tensor, padding_mode: str) -> Tensor:
    """Sample N x C x H x W bilinearly at pixel positions x, y (N x Ho x Wo); N x C x Ho x Wo."""
    count, channels, height, width = input.shape
    x, y = _confine(x, width, padding_mode), _confine(y, height, padding_mode)
    left, top = x.detach().floor(), y.detach().floor()
    right_weight, lower_weight = x - left, y - top
    features = input.to(x.dtype).flatten(2)
    output = features.new_zeros(count, channels, *x.shape[1:])
    for row, row_weight in ((top, 1 - lower_weight), (top + 1, lower_weight)):
        for column, column_weight in ((left, 1 - right_weight), (left + 1, right_weight)):
            within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            taps = features.gather(2, index.flatten(1)[:, None].expand(-1, channels, -1)).view_as(output)
            weight = (row_weight * column_weight)[:, None]
            # A tap outside contributes nothing, even where the feature it would borrow is not finite.
            output = output + torch.where(within[:, None], taps * weight, 0)
    return output.to(input.dtype).contiguous(memory_format=memory_format_of(input))
