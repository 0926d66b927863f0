"""Correlation volume on a GPU, as banded matrix products on tensor cores.

For a row of the volume and one vertical displacement, 16 centres times the channels of the 16 + 2 radius columns around
them is a small matrix product of which the 2 radius + 1 diagonals are kept. Both gradients are products of the same
band, now of weights, with the other map's columns. Nothing is added up by several programs, so results are the same
whenever they are computed.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from tryon_kernels.backends import INTERPRETED
from tryon_kernels.triton.positions import read_position, read_tap
from tryon_kernels.triton.sample import sum_type
from tryon_kernels.triton.tiles import correlation_tile


@triton.jit
def _read_columns(image, row, columns, real, row_stride, column_stride, channel_offset, channel_real):
    """Columns of one row in some channels, columns x channels; 0 where they are not real."""
    offset = row * row_stride + columns.to(tl.int64) * column_stride
    mask = real[:, None] & channel_real[None, :]
    return tl.load(image + offset[:, None] + channel_offset[None, :], mask=mask, other=0)


@triton.jit
def _sample_columns(
    image, positions, row, columns, real, height, width, row_stride, column_stride, channel_offset, channel_real,
    positions_axis, positions_y, positions_x, coordinates: tl.constexpr, border: tl.constexpr,
):  # fmt: skip
    """The same of the image sampled at positions, in the image's dtype."""
    at = positions + row * positions_y + columns.to(tl.int64) * positions_x
    y = columns * 0 + row
    top, left, v, u, _, _ = read_position(at, positions_axis, y, columns, real, height, width, coordinates, border)
    total = tl.zeros((columns.shape[0], channel_offset.shape[0]), u.dtype)
    for j in tl.static_range(2):
        for i in tl.static_range(2):
            tap = read_tap(image, top + j, left + i, height, width, row_stride, column_stride, real, channel_offset,
                           channel_real)  # fmt: skip
            total += ((v if j else 1 - v) * (u if i else 1 - u))[:, None] * tap.to(u.dtype)
    return total.to(image.dtype.element_ty)


# Triton's interpreter (3.9) multiplies the bits of bfloat16 numbers; as float32 their products are the same.
WIDENED = tl.constexpr(INTERPRETED)


@triton.jit
def _add_product(a, b, total, precision: tl.constexpr):
    """Total plus the matrix product, on tensor cores but for float64."""
    if total.dtype == tl.float64:
        return total + tl.sum(a[:, :, None] * b[None, :, :], axis=1)
    elif WIDENED and a.dtype == tl.bfloat16:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")
    else:
        return tl.dot(a, b, total, input_precision=precision)


@triton.jit
def _multiply(
    first, second, positions, volume, scale: tl.float64, slope: tl.float64, channels, first_height, first_width,
    height, width, first_n, first_c, first_y, first_x, second_n, second_c, second_y, second_x,
    positions_n, positions_axis, positions_y, positions_x, volume_n, volume_c, volume_y, volume_x,
    SIDE: tl.constexpr, LEAKY: tl.constexpr, SAMPLED: tl.constexpr, coordinates: tl.constexpr, border: tl.constexpr,
    precision: tl.constexpr, number: tl.constexpr, PIXELS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    # Neighbouring programs have one row's dy, so that what they read around it is found in the second-level cache.
    blocks, index = tl.cdiv(width, PIXELS), tl.program_id(0) // SIDE
    y, start = (index // blocks).to(tl.int64), index % blocks * PIXELS
    dy, n = tl.program_id(0) % SIDE, tl.program_id(1).to(tl.int64)
    i, j = tl.arange(0, PIXELS), tl.arange(0, COLUMNS)
    x, around_y = start + i, y + dy - SIDE // 2
    around_x = start + j - SIDE // 2
    real = x < width
    around_real = (j < PIXELS + SIDE - 1) & (around_x >= 0) & (around_x < width)
    around_real &= (j * 0 + around_y >= 0) & (j * 0 + around_y < height)
    products = tl.zeros((PIXELS, COLUMNS), number)
    for c in range(0, channels, CHANNELS):
        channel = c + tl.arange(0, CHANNELS).to(tl.int64)
        if SAMPLED:
            centres = _sample_columns(
                first + n * first_n, positions + n * positions_n, y, x, real, first_height, first_width, first_y,
                first_x, channel * first_c, channel < channels, positions_axis, positions_y, positions_x, coordinates,
                border,
            )  # fmt: skip
        else:
            centres = _read_columns(first + n * first_n, y, x, real, first_y, first_x, channel * first_c,
                                    channel < channels)  # fmt: skip
        around = _read_columns(second + n * second_n, around_y, around_x, around_real, second_y, second_x,
                               channel * second_c, channel < channels)  # fmt: skip
        products = _add_product(centres, tl.trans(around), products, precision)
    values = products * tl.full((1, 1), scale, number)
    if LEAKY:
        values = tl.where(values > 0, values, values * tl.full((1, 1), slope, number))
    dx = j[None, :] - i[:, None]
    to = (volume + n * volume_n + y * volume_y) + (x.to(tl.int64) * volume_x)[:, None]
    to += (dy * SIDE + dx).to(tl.int64) * volume_c
    tl.store(to, values.to(volume.dtype.element_ty), mask=(dx >= 0) & (dx < SIDE) & real[:, None])


@triton.jit
def _add_unusual(total, weights, kept, values):
    """Add products of weights with values that are not finite, for the pairs that are kept: one column after the other.

    A matrix product would also multiply them with the zeros of the other pairs, which gives not a number.
    """
    for column in range(values.shape[0]):
        chosen = tl.arange(0, values.shape[0]) == column
        weight = tl.sum(tl.where(chosen[None, :], weights, 0), axis=1)
        is_kept = tl.sum(tl.where(chosen[None, :] & kept, 1, 0), axis=1) > 0
        value = tl.sum(tl.where(chosen[:, None], values, 0), axis=0)
        total += tl.where(is_kept[:, None] & (value != 0)[None, :], weight[:, None] * value[None, :], 0)
    return total


@triton.jit
def _gather(
    grad_volume, volume, other, positions, gradient, scale: tl.float64, slope: tl.float64, channels, other_height,
    other_width, height, width,
    volume_n, volume_c, volume_y, volume_x, signs_n, signs_c, signs_y, signs_x,
    other_n, other_c, other_y, other_x, positions_n, positions_axis, positions_y, positions_x,
    to_n, to_c, to_y, to_x,
    SIDE: tl.constexpr, LEAKY: tl.constexpr, MIRRORED: tl.constexpr, SAMPLED: tl.constexpr, coordinates: tl.constexpr,
    border: tl.constexpr, precision: tl.constexpr, number: tl.constexpr, PIXELS: tl.constexpr, COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    RADIUS: tl.constexpr = SIDE // 2
    blocks = tl.cdiv(width, PIXELS)
    y, start = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks * PIXELS
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.program_id(2).to(tl.int64)
    channel_real = channel < channels
    i, j = tl.arange(0, PIXELS), tl.arange(0, COLUMNS)
    x, around_x = start + i, start + j - RADIUS
    real, column_real = x < width, (j < PIXELS + SIDE - 1) & (around_x >= 0) & (around_x < width)
    positive, negative = tl.zeros((PIXELS, CHANNELS), number), tl.zeros((PIXELS, CHANNELS), number)
    for dy in range(SIDE):
        # For the second map's gradient the neighbour is the centre, so its displacement is mirrored.
        around_y = y + RADIUS - dy if MIRRORED else y + dy - RADIUS
        around_real = column_real & (j * 0 + around_y >= 0) & (j * 0 + around_y < height)
        if MIRRORED:
            dx = i[:, None] + 2 * RADIUS - j[None, :]
            kept = (dx >= 0) & (dx < SIDE) & real[:, None] & around_real[None, :]
            at_y, at_x = around_y, (j * 0 + around_x)[None, :]
        else:
            dx = j[None, :] - i[:, None]
            kept = (dx >= 0) & (dx < SIDE) & real[:, None]
            at_y, at_x = y, x[:, None]
        index = (dy * SIDE + dx).to(tl.int64)
        at_x = at_x.to(tl.int64)
        grads = grad_volume + n * volume_n + at_y * volume_y
        weights = tl.load(grads + index * volume_c + at_x * volume_x, mask=kept, other=0)
        if SAMPLED:
            around = _sample_columns(
                other + n * other_n, positions + n * positions_n, around_y, around_x, around_real, other_height,
                other_width, other_y, other_x, channel * other_c, channel_real, positions_axis, positions_y,
                positions_x, coordinates, border,
            )  # fmt: skip
        else:
            around = _read_columns(other + n * other_n, around_y, around_x, around_real, other_y, other_x,
                                   channel * other_c, channel_real)  # fmt: skip
        finite = tl.abs(around.to(number)) < float("inf")
        usual = tl.where(finite, around, 0)
        if LEAKY:
            outputs = volume + n * signs_n + at_y * signs_y
            signs = tl.load(outputs + index * signs_c + at_x * signs_x, mask=kept, other=1).to(number)
            above = tl.where(signs > 0, weights, 0)
            below = tl.where(signs > 0, 0, weights)
            positive = _add_product(above, usual, positive, precision)
            negative = _add_product(below, usual, negative, precision)
            factor = tl.where(signs > 0, 1, tl.full((PIXELS, COLUMNS), slope, number))
        else:
            positive = _add_product(weights, usual, positive, precision)
            factor = tl.full((PIXELS, COLUMNS), 1, number)
        if tl.min(finite.to(tl.int32)) == 0:
            rest = tl.where(finite, 0, around).to(number)
            positive = _add_unusual(positive, weights.to(number) * factor, kept, rest)
    total = (positive + negative * tl.full((1, 1), slope, number)) * tl.full((1, 1), scale, number)
    to = gradient + n * to_n + y * to_y + (x.to(tl.int64) * to_x)[:, None] + (channel * to_c)[None, :]
    tl.store(to, total.to(gradient.dtype.element_ty), mask=real[:, None] & channel_real[None, :])


def _precision(features: Tensor) -> str:
    """How float32 is multiplied: exactly, unless the user allows TensorFloat32 for matrix products."""
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 and features.dtype == torch.float32 else "ieee"


def multiply(
    first: Tensor, second: Tensor, positions: Tensor | None, volume: Tensor, scale: float,
    negative_slope: float | None, coordinates: int, border: bool,
) -> None:  # fmt: skip
    """See `tryon_kernels.gpu.kernels`."""
    side, channels = math.isqrt(volume.shape[1]), second.shape[1]
    tile = correlation_tile(second, side // 2)
    given = first if positions is None else positions
    grid = (triton.cdiv(second.shape[3], tile.pixels) * second.shape[2] * side, second.shape[0])
    _multiply[grid](
        first, second, given, volume, scale, negative_slope or 0.0, channels, *first.shape[2:],
        *second.shape[2:], *first.stride(), *second.stride(), *given.stride(), *volume.stride(),
        side, negative_slope is not None, positions is not None, coordinates, border, _precision(first),
        sum_type(first), tile.pixels, tile.columns, tile.channels, num_warps=tile.warps,
    )  # fmt: skip


def gather(
    grad_volume: Tensor, volume: Tensor | None, other: Tensor, positions: Tensor | None, gradient: Tensor,
    scale: float, negative_slope: float | None, mirrored: bool, coordinates: int, border: bool,
) -> None:  # fmt: skip
    """See `tryon_kernels.gpu.kernels`."""
    side, channels = math.isqrt(grad_volume.shape[1]), gradient.shape[1]
    tile = correlation_tile(other, side // 2, gradient=True)
    signs, given = grad_volume if volume is None else volume, other if positions is None else positions
    grid = (
        triton.cdiv(gradient.shape[3], tile.pixels) * gradient.shape[2],
        triton.cdiv(channels, tile.channels),
        gradient.shape[0],
    )
    _gather[grid](
        grad_volume, signs, other, given, gradient, scale, negative_slope or 0.0, channels, *other.shape[2:],
        *gradient.shape[2:], *grad_volume.stride(), *signs.stride(), *other.stride(), *given.stride(),
        *gradient.stride(),
        side, negative_slope is not None, mirrored, positions is not None, coordinates, border, _precision(other),
        sum_type(other), tile.pixels, tile.columns, tile.channels, num_warps=tile.warps,
    )  # fmt: skip
