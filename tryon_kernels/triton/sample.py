"""Bilinear sampling, and its gradients.

A program serves some output pixels and channels. Where channels lie together its reads are along channels, else along
pixels; each is 16 bytes a thread as far as the strides allow.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from tryon_kernels.triton.positions import UNSPECIALISED, read_position, read_tap, served
from tryon_kernels.triton.tiles import sample_tile


@triton.jit(do_not_specialize=UNSPECIALISED)
def _sample(
    input, positions, output, channels, height, width, out_height, out_width,
    input_n, input_c, input_y, input_x, positions_n, positions_axis, positions_y, positions_x,
    output_n, output_c, output_y, output_x,
    coordinates: tl.constexpr, border: tl.constexpr, number: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    STEPS: tl.constexpr,
):  # fmt: skip
    n, pixel = served(out_height, out_width, PIXELS)
    y, x = pixel // out_width, pixel % out_width
    real = y < out_height
    top, left, v, u, _, _ = read_position(
        positions + n * positions_n + y * positions_y + x * positions_x, positions_axis, y, x, real, height, width,
        coordinates, border,
    )  # fmt: skip
    for step in tl.static_range(STEPS):
        channel = (tl.program_id(1).to(tl.int64) * STEPS + step) * CHANNELS + tl.arange(0, CHANNELS)
        channel_real = channel < channels
        total = tl.zeros((PIXELS, CHANNELS), number)
        for j in tl.static_range(2):
            for i in tl.static_range(2):
                weight = (v if j else 1 - v) * (u if i else 1 - u)
                tap = read_tap(input + n * input_n, top + j, left + i, height, width, input_y, input_x, real,
                               channel * input_c, channel_real)  # fmt: skip
                total += weight[:, None] * tap.to(number)
        to = output + n * output_n + (y * output_y + x * output_x)[:, None] + (channel * output_c)[None, :]
        tl.store(to, total.to(output.dtype.element_ty), mask=real[:, None] & channel_real[None, :])


@triton.jit(do_not_specialize=[*UNSPECIALISED, "to_n", "to_axis", "to_y", "to_x"])
def _differentiate_positions(
    grad_output, input, positions, grad_positions, channels, height, width, out_height, out_width,
    grad_n, grad_c, grad_y, grad_x, input_n, input_c, input_y, input_x,
    positions_n, positions_axis, positions_y, positions_x, to_n, to_axis, to_y, to_x,
    coordinates: tl.constexpr, border: tl.constexpr, number: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    STEPS: tl.constexpr,
):  # fmt: skip
    n, pixel = served(out_height, out_width, PIXELS)
    y, x = pixel // out_width, pixel % out_width
    real = y < out_height
    top, left, v, u, y_slope, x_slope = read_position(
        positions + n * positions_n + y * positions_y + x * positions_x, positions_axis, y, x, real, height, width,
        coordinates, border,
    )  # fmt: skip
    by_x, by_y = tl.zeros((PIXELS,), number), tl.zeros((PIXELS,), number)
    for start in range(0, channels, STEPS * CHANNELS):
        for step in tl.static_range(STEPS):
            channel = start + step * CHANNELS + tl.arange(0, CHANNELS).to(tl.int64)
            channel_real = channel < channels
            at = grad_output + n * grad_n + (y * grad_y + x * grad_x)[:, None] + (channel * grad_c)[None, :]
            grad = tl.load(at, mask=real[:, None] & channel_real[None, :], other=0).to(number)
            for j in tl.static_range(2):
                for i in tl.static_range(2):
                    tap = read_tap(input + n * input_n, top + j, left + i, height, width, input_y, input_x, real,
                                   channel * input_c, channel_real)  # fmt: skip
                    along = tl.sum(grad * tap.to(number), axis=1)
                    by_x += (v if j else 1 - v) * (along if i else -along)
                    by_y += (u if i else 1 - u) * (along if j else -along)
    to = grad_positions + n * to_n + y * to_y + x * to_x
    # A position that was brought in has no gradient, whatever the features are.
    tl.store(to, tl.where(x_slope != 0, by_x * x_slope, 0), mask=real)
    tl.store(to + to_axis, tl.where(y_slope != 0, by_y * y_slope, 0), mask=real)


@triton.jit(do_not_specialize=UNSPECIALISED)
def _differentiate_input(
    grad_output, positions, sums, channels, height, width, out_height, out_width,
    grad_n, grad_c, grad_y, grad_x, positions_n, positions_axis, positions_y, positions_x,
    sums_n, sums_c, sums_y, sums_x,
    coordinates: tl.constexpr, border: tl.constexpr, number: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
    STEPS: tl.constexpr,
):  # fmt: skip
    n, pixel = served(out_height, out_width, PIXELS)
    y, x = pixel // out_width, pixel % out_width
    real = y < out_height
    top, left, v, u, _, _ = read_position(
        positions + n * positions_n + y * positions_y + x * positions_x, positions_axis, y, x, real, height, width,
        coordinates, border,
    )  # fmt: skip
    for step in tl.static_range(STEPS):
        channel = (tl.program_id(1).to(tl.int64) * STEPS + step) * CHANNELS + tl.arange(0, CHANNELS)
        channel_real = channel < channels
        at = grad_output + n * grad_n + (y * grad_y + x * grad_x)[:, None] + (channel * grad_c)[None, :]
        grad = tl.load(at, mask=real[:, None] & channel_real[None, :], other=0).to(number)
        # Nothing else is read or written by the order of these additions, so they need not be ordered.
        for j in tl.static_range(2):
            for i in tl.static_range(2):
                row, column = top + j, left + i
                within = real & (row >= 0) & (row < height) & (column >= 0) & (column < width)
                mask = within[:, None] & channel_real[None, :]
                offset = n * sums_n + row.to(tl.int64) * sums_y + column.to(tl.int64) * sums_x
                place = offset[:, None] + (channel * sums_c)[None, :]
                share = ((v if j else 1 - v) * (u if i else 1 - u))[:, None] * grad
                tl.atomic_add(sums + place, share, mask=mask, sem="relaxed")


def sum_type(features: Tensor) -> tl.dtype:
    """What the kernels add up features of this dtype in."""
    return tl.float64 if features.dtype == torch.float64 else tl.float32


def sample(input: Tensor, positions: Tensor, output: Tensor, coordinates: int, border: bool) -> None:
    """See `tryon_kernels.gpu.kernels`."""
    tile = sample_tile(input)
    (count, channels, *size), out_size = input.shape, positions.shape[2:]
    grid = tile.grid(out_size[0] * out_size[1], channels, count)
    _sample[grid](
        input, positions, output, channels, *size, *out_size, *input.stride(), *positions.stride(), *output.stride(),
        coordinates, border, sum_type(input), *tile.sizes, num_warps=tile.warps,
    )  # fmt: skip


def differentiate_positions(
    grad_output: Tensor, input: Tensor, positions: Tensor, grad_positions: Tensor, coordinates: int, border: bool
) -> None:
    """See `tryon_kernels.gpu.kernels`."""
    tile = sample_tile(input)
    (count, channels, *size), out_size = input.shape, positions.shape[2:]
    programs, _ = tile.grid(out_size[0] * out_size[1], channels, count)
    _differentiate_positions[(programs,)](
        grad_output, input, positions, grad_positions, channels, *size, *out_size, *grad_output.stride(),
        *input.stride(), *positions.stride(), *grad_positions.stride(),
        coordinates, border, sum_type(input), *tile.sizes, num_warps=tile.warps,
    )  # fmt: skip


def differentiate_input(grad_output: Tensor, positions: Tensor, sums: Tensor, coordinates: int, border: bool) -> None:
    """See `tryon_kernels.gpu.kernels`."""
    tile = sample_tile(sums, adding=True)
    (count, channels, *size), out_size = sums.shape, positions.shape[2:]
    grid = tile.grid(out_size[0] * out_size[1], channels, count)
    _differentiate_input[grid](
        grad_output, positions, sums, channels, *size, *out_size, *grad_output.stride(), *positions.stride(),
        *sums.stride(), coordinates, border, sum_type(grad_output), *tile.sizes, num_warps=tile.warps,
    )  # fmt: skip
