"""Correlation volume on a GPU, as matrix products on tensor cores.

A program has a tile of centres in one map and the pixels around them in the other, as far as a part of the window
reaches. Their channels' products are a small matrix, centres x around, in which some pairs are in the window:

    around, 16 x 16 (radius 3: 14 x 14 of them)   pair of centre (i, j) and neighbour (v, u):
        . . . . . . . . . . . . . .                   dy = v - i, dx = u - j, counted from 0
        . . . . . . . . . . . . . .                   in the window where 0 <= dy, dx < 2 radius + 1
        . . . . . . . . . . . . . .
        . . . o o o o o o o o . . .
        . . . o centres,  8 x 8 . .               A window larger than the part of it that the tile holds (9 x 9)
        . . . o o o o o o o o . . .               is worked through part by part.
        . . . . . . . . . . . . . .

The volume is the window's pairs of that product. Both gradients are products too: of a matrix of weights, 0 for all
other pairs, with the pixels around. Nothing is added up by several programs, so results are the same whenever they are
computed.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from tryon_kernels.availability import INTERPRETED
from tryon_kernels.triton.positions import read_position, read_tap
from tryon_kernels.triton.sample import sample, sum_type
from tryon_kernels.triton.tiles import gradient_tile, volume_tile

# Of a sum of float32 products, from which on TensorFloat32's rounding is within the bound on that of a sum.
LEAST_TERMS = 32

# Triton's interpreter (3.9) multiplies the bits of bfloat16 numbers; as float32 their products are the same.
WIDENED = tl.constexpr(INTERPRETED)


@triton.jit
def _add_product(a, b, total, precision: tl.constexpr):
    """Total plus the matrix product."""
    if WIDENED and a.dtype == tl.bfloat16:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")
    else:
        return tl.dot(a, b, total, input_precision=precision, out_dtype=total.dtype)


@triton.jit
def _pixels(top, left, ROWS: tl.constexpr, COLUMNS: tl.constexpr, height, width):
    """Rows and columns of a rectangle's pixels, and which are inside of the map."""
    index = tl.arange(0, ROWS * COLUMNS)
    y, x = top + index // COLUMNS, left + index % COLUMNS
    return y, x, (y >= 0) & (y < height) & (x >= 0) & (x < width)


@triton.jit
def _offset(y, x, row_stride, column_stride):
    """Of pixels from the first one, in numbers."""
    return y.to(tl.int64) * row_stride + x.to(tl.int64) * column_stride


@triton.jit
def _read_pixels(image, offset, real, channel, channels, channel_stride):
    """Pixels in some channels, pixels x channels; 0 where they are not real."""
    mask = real[:, None] & (channel < channels)[None, :]
    return tl.load(image + offset[:, None] + (channel * channel_stride)[None, :], mask=mask, other=0)


@triton.jit
def _sample_pixels(image, place, height, width, row_stride, column_stride, real, channel, channels, channel_stride):
    """The same of the image sampled at places (see `read_position`), in the image's dtype."""
    top, left, v, u, _, _ = place
    total = tl.zeros((real.shape[0], channel.shape[0]), u.dtype)
    for j in tl.static_range(2):
        for i in tl.static_range(2):
            tap = read_tap(image, top + j, left + i, height, width, row_stride, column_stride, real,
                           channel * channel_stride, channel < channels)  # fmt: skip
            total += ((v if j else 1 - v) * (u if i else 1 - u))[:, None] * tap.to(u.dtype)
    return total.to(image.dtype.element_ty)


@triton.jit
def _window_pairs(
    part_y, part_x, SIDE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DOWN: tl.constexpr,
    ACROSS: tl.constexpr, MIRRORED: tl.constexpr,
):  # fmt: skip
    """Pairs of centre and neighbour in the window's part, centres x around, and the volume's channels that they have.

    A pair's channel is the sum of two numbers, of the centre and of the neighbour. Mirrored, it is the one in which the
    neighbour sees the centre.
    """
    i, k = tl.arange(0, ROWS * COLUMNS), tl.arange(0, DOWN * ACROSS)
    dy, dx = (k // ACROSS)[None, :] - (i // COLUMNS)[:, None], (k % ACROSS)[None, :] - (i % COLUMNS)[:, None]
    paired = (dy >= 0) & (dy <= DOWN - ROWS) & (dx >= 0) & (dx <= ACROSS - COLUMNS)
    paired &= (dy < SIDE - part_y) & (dx < SIDE - part_x)
    of_centre = (i // COLUMNS * SIDE + i % COLUMNS).to(tl.int64)
    of_around = (part_y + k // ACROSS).to(tl.int64) * SIDE + part_x + k % ACROSS
    if MIRRORED:
        return paired, of_centre, SIDE * SIDE - 1 - of_around
    return paired, -of_centre, of_around


# Triton compiles anew for arguments that are 1 or multiples of 16. Neither makes the code better of sizes, nor the
# latter of strides of what is read and written number by number.
_PLAIN = ["first_height", "first_width", "height", "width", "program_chunks"]
_ANY_ALIGNMENT = [
    f"{name}_{axis}" for name in ("positions", "volume", "signs") for axis in ("n", "c", "y", "x", "axis")
]


@triton.jit(do_not_specialize=_PLAIN, do_not_specialize_on_alignment=_ANY_ALIGNMENT)
def _multiply(
    first, second, positions, volume, scale: tl.float64, slope: tl.float64, channels, first_height, first_width,
    height, width, first_n, first_c, first_y, first_x, second_n, second_c, second_y, second_x,
    positions_n, positions_axis, positions_y, positions_x, volume_n, volume_c, volume_y, volume_x,
    SIDE: tl.constexpr, LEAKY: tl.constexpr, SAMPLED: tl.constexpr, coordinates: tl.constexpr, border: tl.constexpr,
    precision: tl.constexpr, number: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DOWN: tl.constexpr,
    ACROSS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    PARTS_DOWN: tl.constexpr = (SIDE + DOWN - ROWS) // (DOWN - ROWS + 1)
    PARTS_ACROSS: tl.constexpr = (SIDE + ACROSS - COLUMNS) // (ACROSS - COLUMNS + 1)
    index = tl.program_id(0)
    part_x, index = index % PARTS_ACROSS * (ACROSS - COLUMNS + 1), index // PARTS_ACROSS
    part_y, index = index % PARTS_DOWN * (DOWN - ROWS + 1), index // PARTS_DOWN
    tiles_across, tiles_down = tl.cdiv(width, COLUMNS), tl.cdiv(height, ROWS)
    left, index = index % tiles_across * COLUMNS, index // tiles_across
    top, n = index % tiles_down * ROWS, (index // tiles_down).to(tl.int64)
    y, x, real = _pixels(top, left, ROWS, COLUMNS, height, width)
    around_y, around_x, around_real = _pixels(top + part_y - SIDE // 2, left + part_x - SIDE // 2, DOWN, ACROSS,
                                              height, width)  # fmt: skip
    if SAMPLED:
        at = positions + n * positions_n + _offset(y, x, positions_y, positions_x)
        place = read_position(at, positions_axis, y, x, real, first_height, first_width, coordinates, border)
    products = tl.zeros((ROWS * COLUMNS, DOWN * ACROSS), number)
    for c in range(0, channels, CHANNELS):
        channel = c + tl.arange(0, CHANNELS).to(tl.int64)
        if SAMPLED:
            centres = _sample_pixels(first + n * first_n, place, first_height, first_width, first_y, first_x, real,
                                     channel, channels, first_c)  # fmt: skip
        else:
            centres = _read_pixels(first + n * first_n, _offset(y, x, first_y, first_x), real, channel, channels,
                                   first_c)  # fmt: skip
        around = _read_pixels(second + n * second_n, _offset(around_y, around_x, second_y, second_x), around_real,
                              channel, channels, second_c)  # fmt: skip
        products = _add_product(centres, tl.trans(around), products, precision)
    values = products * tl.full((1, 1), scale, number)
    if LEAKY:
        values = tl.where(values > 0, values, values * tl.full((1, 1), slope, number))
    paired, of_centre, of_around = _window_pairs(part_y, part_x, SIDE, ROWS, COLUMNS, DOWN, ACROSS, False)
    to = volume + n * volume_n + (_offset(y, x, volume_y, volume_x) + of_centre * volume_c)[:, None]
    to += (of_around * volume_c)[None, :]
    tl.store(to, values.to(volume.dtype.element_ty), mask=paired & real[:, None])


@triton.jit
def _gather_pairs(
    grad_volume, volume, other, slope, y, x, real, channel, channels, height, width, volume_c, volume_y, volume_x,
    signs_c, signs_y, signs_x, other_c, other_y, other_x,
    SIDE: tl.constexpr, LEAKY: tl.constexpr, MIRRORED: tl.constexpr, number: tl.constexpr,
):  # fmt: skip
    """The sums of a tile, one displacement after the other: for numbers that are not finite.

    A matrix product also multiplies them with the zeros of the other pairs, which gives not a number.
    """
    total = tl.zeros((real.shape[0], channel.shape[0]), number)
    for k in range(SIDE * SIDE):
        around_y, around_x = y + k // SIDE - SIDE // 2, x + k % SIDE - SIDE // 2
        around_real = real & (around_y >= 0) & (around_y < height) & (around_x >= 0) & (around_x < width)
        if MIRRORED:
            at_y, at_x, at, paired = around_y, around_x, SIDE * SIDE - 1 - k, around_real
        else:
            at_y, at_x, at, paired = y, x, k, real
        at = (y * 0 + at).to(tl.int64)
        weight = tl.load(grad_volume + _offset(at_y, at_x, volume_y, volume_x) + at * volume_c, mask=paired, other=0)
        weight = weight.to(number)
        if LEAKY:
            sign = tl.load(volume + _offset(at_y, at_x, signs_y, signs_x) + at * signs_c, mask=paired, other=0)
            weight = tl.where(sign.to(number) > 0, weight, weight * tl.full((1,), slope, number))
        value = _read_pixels(other, _offset(around_y, around_x, other_y, other_x), around_real, channel, channels,
                             other_c)  # fmt: skip
        total += weight[:, None] * value.to(number)
    return total


@triton.jit
def _read_weights(
    grad_volume, volume, slope, top, left, part_y, part_x, height, width, volume_c, volume_y, volume_x, signs_c,
    signs_y, signs_x, SIDE: tl.constexpr, LEAKY: tl.constexpr, SPLIT: tl.constexpr, MIRRORED: tl.constexpr,
    number: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr,
):  # fmt: skip
    """The weights of a window part's pairs, centres x around; 0 for all others.

    Split, it has two rows for a row of the tile: weights where the volume is above zero, and where it is not.
    """
    y, x, real = _pixels(top, left, ROWS, COLUMNS, height, width)
    paired, of_centre, of_around = _window_pairs(part_y, part_x, SIDE, ROWS, COLUMNS, DOWN, ACROSS, MIRRORED)
    paired &= real[:, None]
    if MIRRORED:
        y, x, real = _pixels(top + part_y - SIDE // 2, left + part_x - SIDE // 2, DOWN, ACROSS, height, width)
        paired &= real[None, :]
        at = (of_centre * volume_c)[:, None]
        at += (_offset(y, x, volume_y, volume_x) + of_around * volume_c)[None, :]
    else:
        at = (_offset(y, x, volume_y, volume_x) + of_centre * volume_c)[:, None]
        at += (of_around * volume_c)[None, :]
    weights = tl.load(grad_volume + at, mask=paired, other=0)
    if LEAKY:
        if MIRRORED:
            at = (of_centre * signs_c)[:, None]
            at += (_offset(y, x, signs_y, signs_x) + of_around * signs_c)[None, :]
        else:
            at = (_offset(y, x, signs_y, signs_x) + of_centre * signs_c)[:, None]
            at += (of_around * signs_c)[None, :]
        above = tl.load(volume + at, mask=paired, other=0).to(number) > 0
        if SPLIT:
            both = tl.join(tl.where(above, weights, 0), tl.where(above, 0, weights))
            both = both.reshape(ROWS, COLUMNS, DOWN * ACROSS, 2).permute(0, 3, 1, 2)
            return both.reshape(2 * ROWS * COLUMNS, DOWN * ACROSS)
        else:
            return tl.where(above, weights, weights * tl.full((1, 1), slope, number))
    else:
        return weights


@triton.jit(do_not_specialize=_PLAIN, do_not_specialize_on_alignment=_ANY_ALIGNMENT)
def _gather(
    grad_volume, volume, other, gradient, scale: tl.float64, slope: tl.float64, channels, program_chunks, height, width,
    volume_n, volume_c, volume_y, volume_x, signs_n, signs_c, signs_y, signs_x, other_n, other_c, other_y, other_x,
    to_n, to_c, to_y, to_x,
    SIDE: tl.constexpr, LEAKY: tl.constexpr, MIRRORED: tl.constexpr, precision: tl.constexpr, number: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    PART_ROWS: tl.constexpr = DOWN - ROWS + 1
    PART_COLUMNS: tl.constexpr = ACROSS - COLUMNS + 1
    PARTS_ACROSS: tl.constexpr = (SIDE + PART_COLUMNS - 1) // PART_COLUMNS
    PARTS: tl.constexpr = (SIDE + PART_ROWS - 1) // PART_ROWS * PARTS_ACROSS
    # Half formats have a product above zero and one below, so that the slope is applied to float32.
    SPLIT: tl.constexpr = LEAKY and grad_volume.dtype.element_ty.primitive_bitwidth < 32
    chunks = tl.cdiv(channels, CHANNELS)
    programs = tl.cdiv(chunks, program_chunks)
    tiles_across, tiles_down = tl.cdiv(width, COLUMNS), tl.cdiv(height, ROWS)
    index = tl.program_id(0)
    begin, index = index % programs * program_chunks, index // programs
    left, index = index % tiles_across * COLUMNS, index // tiles_across
    top, n = index % tiles_down * ROWS, (index // tiles_down).to(tl.int64)
    grad_volume, volume = grad_volume + n * volume_n, volume + n * signs_n
    other, gradient = other + n * other_n, gradient + n * to_n
    y, x, real = _pixels(top, left, ROWS, COLUMNS, height, width)
    # The weights are the same for all channels: where the window has one part they are read once.
    if PARTS == 1:
        weights = _read_weights(
            grad_volume, volume, slope, top, left, 0, 0, height, width, volume_c, volume_y, volume_x, signs_c, signs_y,
            signs_x, SIDE, LEAKY, SPLIT, MIRRORED, number, ROWS, COLUMNS, DOWN, ACROSS,
        )  # fmt: skip
    for chunk in range(begin, tl.minimum(begin + program_chunks, chunks)):
        channel = chunk * CHANNELS + tl.arange(0, CHANNELS).to(tl.int64)
        total = tl.zeros((ROWS * COLUMNS * (2 if SPLIT else 1), CHANNELS), number)
        for part in range(PARTS):
            part_y, part_x = part // PARTS_ACROSS * PART_ROWS, part % PARTS_ACROSS * PART_COLUMNS
            if PARTS > 1:
                weights = _read_weights(
                    grad_volume, volume, slope, top, left, part_y, part_x, height, width, volume_c, volume_y, volume_x,
                    signs_c, signs_y, signs_x, SIDE, LEAKY, SPLIT, MIRRORED, number, ROWS, COLUMNS, DOWN, ACROSS,
                )  # fmt: skip
            around_y, around_x, around_real = _pixels(top + part_y - SIDE // 2, left + part_x - SIDE // 2, DOWN,
                                                      ACROSS, height, width)  # fmt: skip
            around = _read_pixels(other, _offset(around_y, around_x, other_y, other_x), around_real, channel, channels,
                                  other_c)  # fmt: skip
            total = _add_product(weights, around, total, precision)
        if SPLIT:
            factor = tl.where(tl.arange(0, 2) == 0, 1, tl.full((1,), slope, number))[None, :, None, None]
            total = tl.sum(total.reshape(ROWS, 2, COLUMNS, CHANNELS) * factor, axis=1)
            total = total.reshape(ROWS * COLUMNS, CHANNELS)
        # Whatever is not finite around the tile makes sums that are not either: asked once, and only then taken apart.
        if tl.max((tl.abs(total) < float("inf")).to(tl.int32) ^ 1) > 0:
            total = _gather_pairs(
                grad_volume, volume, other, slope, y, x, real, channel, channels, height, width, volume_c, volume_y,
                volume_x, signs_c, signs_y, signs_x, other_c, other_y, other_x, SIDE, LEAKY, MIRRORED, number,
            )  # fmt: skip
        to = gradient + _offset(y, x, to_y, to_x)[:, None] + (channel * to_c)[None, :]
        total = (total * tl.full((1, 1), scale, number)).to(gradient.dtype.element_ty)
        tl.store(to, total, mask=real[:, None] & (channel < channels)[None, :])


def _precision(features: Tensor, terms: int) -> str:
    """How float32 is multiplied; other formats are multiplied exactly whatever this says.

    AMD's GPUs do it exactly. NVIDIA's as TensorFloat32, if the user allows it for matrix products, else as three
    products of TensorFloat32 numbers, where the sum has so many terms that what these leave out, 6 eps of each term,
    and the tensor cores' own rounding are within the bound on a sum's rounding in float32 (docs/gpu.md); else exactly.
    """
    if features.dtype != torch.float32 or torch.version.hip is not None:
        return "ieee"
    if torch.backends.cuda.matmul.allow_tf32:
        return "tf32"
    return "tf32x3" if terms >= LEAST_TERMS else "ieee"


def multiply(
    first: Tensor, second: Tensor, positions: Tensor | None, volume: Tensor, scale: float,
    negative_slope: float | None, coordinates: int, border: bool,
) -> None:  # fmt: skip
    """See `tryon_kernels.gpu.kernels`."""
    side, channels = math.isqrt(volume.shape[1]), second.shape[1]
    given, tile = first if positions is None else positions, volume_tile(second)
    _multiply[(tile.count(second) * tile.parts(side),)](
        first, second, given, volume, scale, negative_slope or 0.0, channels, *first.shape[2:], *second.shape[2:],
        *first.stride(), *second.stride(), *given.stride(), *volume.stride(),
        side, negative_slope is not None, positions is not None, coordinates, border, _precision(first, channels),
        sum_type(first), *tile.sizes, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip


def gather(
    grad_volume: Tensor, volume: Tensor | None, other: Tensor, positions: Tensor | None, gradient: Tensor,
    scale: float, negative_slope: float | None, mirrored: bool, coordinates: int, border: bool,
) -> None:  # fmt: skip
    """See `tryon_kernels.gpu.kernels`. A sampled map is sampled once: a tile would sample all pixels around it too."""
    if positions is not None:
        sampled = torch.empty_like(gradient)
        sample(other, positions, sampled, coordinates, border)
        other = sampled
    side, channels = math.isqrt(grad_volume.shape[1]), gradient.shape[1]
    signs, leaky = grad_volume if volume is None else volume, negative_slope is not None
    tile = gradient_tile(other, leaky)
    programs, program_chunks = tile.shared_out(gradient)
    _gather[(tile.count(gradient) * programs,)](
        grad_volume, signs, other, gradient, scale, negative_slope or 0.0, channels, program_chunks,
        *gradient.shape[2:], *grad_volume.stride(), *signs.stride(), *other.stride(), *gradient.stride(),
        side, leaky, mirrored, _precision(other, side * side), sum_type(other), *tile.sizes,
        num_warps=tile.warps, num_stages=tile.stages if tile.parts(side) == 1 else 1,
    )  # fmt: skip
