"""The operations from torch's own, as quick and as lean as these allow: what serves where no kernel of ours does.

Arguments and results are those of `tryon_kernels.eager`, whose formulas are written to be read and compared with.
Gradients are functions of their own too, with the arguments of the ops' (`tryon_kernels.ops`). Sampled images are
contiguous whatever the input is, as torch's are: to bring them to another format would cost as much as to sample them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tryon_kernels import eager
from tryon_kernels.eager import memory_format_of, position_dtype
from tryon_kernels.ops.library import new_gradient, new_output

FAR = 5.0  # a normalised position beyond every image of two pixels or more, whether corners are aligned or not
INT32_MAX = 2**31 - 1
BILINEAR, PADDINGS = 0, {"zeros": 0, "border": 1}  # torch's numbers


class _Grid(NamedTuple):
    """Normalised positions, N x Ho x Wo x 2, and how much each changes with the x and y that it is made from."""

    at: Tensor
    align_corners: bool
    slopes: tuple[float, float]


def grid_sample(input: Tensor, grid: Tensor, padding_mode: str, align_corners: bool) -> Tensor:
    """`torch.nn.functional.grid_sample`, for positions that are not finite too."""
    return _sample(input, _finite_grid(input, grid, align_corners, _copes(input, grid, padding_mode)), padding_mode)


def warp(input: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """The same at each pixel's own position plus the flow."""
    return _sample(input, _grid_of_flow(input, flow, _copes(input, flow, padding_mode)), padding_mode)


def grid_sample_backward(
    grad_output: Tensor,
    input: Tensor,
    grid: Tensor,
    padding_mode: str,
    align_corners: bool,
    input_needed: bool,
    grid_needed: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of image and grid."""
    grad_grid = new_gradient(grid, grid_needed)
    finite = _finite_grid(input, grid, align_corners)
    return _sample_backward(grad_output, input, finite, padding_mode, input_needed, grad_grid, grid_needed), grad_grid


def warp_backward(
    grad_output: Tensor, input: Tensor, flow: Tensor, padding_mode: str, input_needed: bool, flow_needed: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of image and flow."""
    grad_flow = new_gradient(flow, flow_needed)
    to = grad_flow.permute(0, 2, 3, 1) if flow_needed else grad_flow
    grid = _grid_of_flow(input, flow)
    return _sample_backward(grad_output, input, grid, padding_mode, input_needed, to, flow_needed), grad_flow


def _grid_of_flow(input: Tensor, flow: Tensor, copes: bool = False) -> _Grid:
    steps = (2 / input.shape[3], 2 / input.shape[2])  # from pixel to pixel, of outer edges
    own = (
        torch.arange(size, dtype=flow.dtype, device=flow.device).add_(0.5).mul_(step).sub_(1)
        for size, step in zip((flow.shape[3], flow.shape[2]), steps, strict=True)
    )
    x, y = (torch.add(at, flow[:, axis], alpha=steps[axis]) for axis, at in enumerate((next(own), next(own)[:, None])))
    return _Grid(_finite(torch.stack((x, y), dim=-1), copes), False, steps)


def _finite_grid(input: Tensor, grid: Tensor, align_corners: bool, copes: bool = False) -> _Grid:
    if align_corners and 1 in input.shape[2:]:  # with one pixel in a row, every finite position is that pixel
        last = (input.shape[3] - 1, input.shape[2] - 1)
        pixels = ((grid[..., axis] + 1) / 2 * last[axis] for axis in (0, 1))
        x, y = ((2 * pixel + 1) / (last[axis] + 1) - 1 for axis, pixel in enumerate(pixels))
        slopes = (last[0] / (last[0] + 1), last[1] / (last[1] + 1))
        return _Grid(_finite(torch.stack((x, y), dim=-1), copes), False, slopes)
    return _Grid(_finite(grid, copes), align_corners, (1, 1))


def _copes(input: Tensor, positions: Tensor, padding_mode: str) -> bool:
    """Does torch sample at positions that are not finite as we do? Its gradients there read what is not theirs."""
    if padding_mode != "border" or positions.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    if max(map(_last_offset, (input, positions))) >= INT32_MAX:  # torch's other code takes NaN to the last pixel
        return False
    return not (torch.is_grad_enabled() and (input.requires_grad or positions.requires_grad))


def _last_offset(tensor: Tensor) -> int:
    return sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _finite(grid: Tensor, copes: bool) -> Tensor:
    """Positions that are not finite taken far outside, where nothing has a gradient, unless torch copes with them."""
    if copes:
        return grid
    on_cpu = grid.device.type == "cpu" and not torch.compiler.is_compiling()
    if on_cpu and isfinite(grid.detach().sum().item()):  # reads them only; on a GPU it would wait
        return grid
    return grid.nan_to_num(-FAR, FAR, -FAR)


def _sample(input: Tensor, grid: _Grid, padding_mode: str) -> Tensor:
    wide = input.to(grid.at.dtype)  # torch wants features and positions of one dtype, and positions keep float32
    if 0 in (*input.shape[:2], *grid.at.shape[1:3]):
        # No number comes out; zeros are its gradients, which on a GPU torch refuses to make in deterministic mode.
        return (wide[:, :, :1, :1] * grid.at[:, None, ..., 0]).to(input.dtype)
    return F.grid_sample(wide, grid.at, "bilinear", padding_mode, grid.align_corners).to(input.dtype)


def _sample_backward(
    grad_output: Tensor,
    input: Tensor,
    grid: _Grid,
    padding_mode: str,
    input_needed: bool,
    grad_positions: Tensor,
    positions_needed: bool,
) -> Tensor:
    """The image's gradient; that of the positions is written."""
    grad_input, wide = new_gradient(input, input_needed), grid.at.dtype
    if grad_output.numel() == 0:  # torch refuses this too
        grad_positions.zero_()
        return grad_input.zero_()
    how = (BILINEAR, PADDINGS[padding_mode], grid.align_corners, (input_needed, positions_needed))
    made, grad_grid = torch.ops.aten.grid_sampler_2d_backward(grad_output.to(wide), input.to(wide), grid.at, *how)
    if positions_needed:
        for axis, slope in enumerate(grid.slopes):
            torch.mul(grad_grid[..., axis], slope, out=grad_positions[..., axis])
    return grad_input.copy_(made) if input_needed else grad_input


class _Correlation(torch.autograd.Function):
    """Without an autograd graph of all displacements; a gradient of the gradients comes from the reference formula."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, *options: Any) -> Tensor:
        output = _correlation(first, second, *options)
        ctx.options = options
        ctx.save_for_backward(first, second, output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        first, second, output = ctx.saved_tensors
        needed, nothing = ctx.needs_input_grad[:2], (None,) * len(ctx.options)
        if torch.is_grad_enabled():
            by = [tensor for tensor, wanted in zip((first, second), needed, strict=True) if wanted]
            volume = eager.correlation(first, second, *ctx.options)
            made = iter(torch.autograd.grad(volume, by, grad_output, create_graph=True))
            return (*(next(made) if wanted else None for wanted in needed), *nothing)
        gradients = correlation_backward(grad_output, first, second, output, *ctx.options, *needed)
        return (*(g if wanted else None for g, wanted in zip(gradients, needed, strict=True)), *nothing)


def correlation(
    first: Tensor, second: Tensor, radius: int, stride: int, negative_slope: float | None, mean: bool
) -> Tensor:
    """Mean or sum over channels of the products of displaced features, one displacement after the other."""
    if torch.compiler.is_compiling():  # which fuses the formula
        return eager.correlation(first, second, radius, stride, negative_slope, mean)
    return _Correlation.apply(first, second, radius, stride, negative_slope, mean)


def _correlation(
    first: Tensor, second: Tensor, radius: int, stride: int, negative_slope: float | None, mean: bool
) -> Tensor:
    centres, around = _centres_and_padded(first, second, radius, stride)
    volume = centres.new_empty(centres.shape[0], (2 * radius + 1) ** 2, *centres.shape[2:])
    products = torch.empty_like(centres)
    for channel, displaced in enumerate(_displaced(around, centres, radius, stride)):
        torch.mul(centres, displaced, out=products)
        torch.sum(products, 1, out=volume[:, channel])
    if mean:
        volume /= max(first.shape[1], 1)
    if negative_slope is not None:
        F.leaky_relu_(volume, negative_slope)
    output = new_output(first, volume.shape)
    return output.copy_(volume)


def correlation_backward(
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
    """Gradients of both maps, one displacement after the other."""
    centres, around = _centres_and_padded(first, second, radius, stride)
    grad_volume = grad_output.to(centres.dtype) / (max(first.shape[1], 1) if mean else 1)
    if negative_slope is not None and output is not None:
        grad_volume = torch.where(output > 0, grad_volume, grad_volume * negative_slope)
    grad_centres, grad_around = torch.zeros_like(centres), torch.zeros_like(around)
    displacements = (_displaced(tensor, centres, radius, stride) for tensor in (around, grad_around))
    for channel, (displaced, gradient) in enumerate(zip(*displacements, strict=True)):
        weight = grad_volume[:, channel, None]
        if first_needed:
            grad_centres.addcmul_(weight, displaced)
        if second_needed:
            gradient.addcmul_(weight, centres)
    grad_first, grad_second = new_gradient(first, first_needed), new_gradient(second, second_needed)
    if first_needed:
        grad_first.zero_()[:, :, ::stride, ::stride].copy_(grad_centres)
    if second_needed:
        reach = radius * stride
        height, width = second.shape[2:]
        grad_second.copy_(grad_around[:, :, reach : reach + height, reach : reach + width])
    return grad_first, grad_second


def _centres_and_padded(first: Tensor, second: Tensor, radius: int, stride: int) -> tuple[Tensor, Tensor]:
    """Every stride-th pixel of one map, and the other with zeros around as far as displacements reach."""
    dtype, reach = position_dtype(first), radius * stride
    return first[:, :, ::stride, ::stride].to(dtype), F.pad(second.to(dtype), (reach,) * 4)


def _displaced(around: Tensor, centres: Tensor, radius: int, stride: int) -> Iterator[Tensor]:
    """The neighbours of all centres at each displacement, as views, in the order of the volume's channels."""
    rows, columns = (max((size - 1) * stride + 1, 0) for size in centres.shape[2:])
    steps = range(0, (2 * radius + 1) * stride, stride)
    for dy in steps:
        for dx in steps:
            yield around[:, :, dy : dy + rows : stride, dx : dx + columns : stride]


def warp_correlation(
    first: Tensor,
    second: Tensor,
    grid: Tensor,
    radius: int,
    negative_slope: float | None,
    padding_mode: str,
    align_corners: bool,
) -> Tensor:
    """Correlation of a sampled map with a second one; the sampled map is in memory."""
    warped = _formatted(grid_sample, first, grid, padding_mode, align_corners)
    return correlation(warped, second, radius, 1, negative_slope, True)


def warp_correlation_backward(
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
    """Gradients of both maps and of the grid."""
    warped = _formatted(grid_sample, first, grid, padding_mode, align_corners)
    warped_needed = first_needed or grid_needed
    grad_warped, grad_second = correlation_backward(
        grad_output, warped, second, output, radius, 1, negative_slope, True, warped_needed, second_needed
    )
    if not warped_needed:
        return new_gradient(first, False), grad_second, new_gradient(grid, False)
    grad_first, grad_grid = grid_sample_backward(
        grad_warped, first, grid, padding_mode, align_corners, first_needed, grid_needed
    )
    return grad_first, grad_second, grad_grid


def implementation(name: str) -> Callable[..., Any]:
    """What computes the op of this name, forward or backward, with results in the memory format that ops have."""
    return partial(_formatted, SAMPLING[name]) if name in SAMPLING else IMPLEMENTATIONS[name]


def _formatted(sampling: Callable[..., Tensor], input: Tensor, *arguments: Any) -> Tensor:
    """A sampled image in the input's memory format: products of maps in two formats take several times as long."""
    return sampling(input, *arguments).contiguous(memory_format=memory_format_of(input))


SAMPLING: dict[str, Callable[..., Tensor]] = {"grid_sample": grid_sample, "warp": warp}
IMPLEMENTATIONS: dict[str, Callable[..., Any]] = {
    "grid_sample_backward": grid_sample_backward,
    "warp_backward": warp_backward,
    "correlation": correlation,
    "correlation_backward": correlation_backward,
    "warp_correlation": warp_correlation,
    "feature_distance": eager.feature_distance,
    "feature_distance_backward": eager.feature_distance_backward,
    "warp_correlation_backward": warp_correlation_backward,
}
