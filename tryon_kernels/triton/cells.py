"""The gradient of a sampled image, added up in one order: each pixel of it gathers from the four cells around it.

See `tryon_kernels.gpu.cells` for what cells are. No two programs write the same place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from tryon_kernels.gpu import kernels
from tryon_kernels.triton.positions import UNSPECIALISED, read_position
from tryon_kernels.triton.sample import sum_type
from tryon_kernels.triton.tiles import FEW, LONGEST_AXIS, Family, SampleTile, sample_tile

_CHUNK = tl.constexpr(kernels.CHUNK)  # as Triton wants constants
CELL_TILE = SampleTile(pixels=256, channels=1, warps=4)


@triton.jit(do_not_specialize=UNSPECIALISED)
def _find_cells(
    positions, cells, fractions, count, outside, height, width, out_height, out_width,
    positions_n, positions_axis, positions_y, positions_x,
    coordinates: tl.constexpr, border: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    real = pixel < count
    row, x = pixel // out_width, pixel % out_width
    n, y = row // out_height, row % out_height
    top, left, v, u, _, _ = read_position(
        positions + n * positions_n + y * positions_y + x * positions_x, positions_axis, y, x, real, height, width,
        coordinates, border,
    )  # fmt: skip
    within = (top >= -1) & (top < height) & (left >= -1) & (left < width)
    cell = (n * (height + 1) + top + 1) * (width + 1) + left + 1
    tl.store(cells + pixel, tl.where(within, cell, outside).to(tl.int32), mask=real)
    tl.store(fractions + 2 * pixel, u, mask=real)
    tl.store(fractions + 2 * pixel + 1, v, mask=real)


@triton.jit(do_not_specialize=UNSPECIALISED)
def _order_samples(
    grad_output, cells, order, fractions, ordered_fractions, places, sums, count, outside, channels, out_height,
    out_width, grad_n, grad_c, grad_y, grad_x, number: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    chunk = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)
    rank = chunk * _CHUNK + tl.arange(0, _CHUNK)
    real = rank < count
    pixel = tl.load(order + rank, mask=real, other=0)
    u = tl.load(fractions + 2 * pixel, mask=real, other=0)
    v = tl.load(fractions + 2 * pixel + 1, mask=real, other=0)
    row, x = pixel // out_width, pixel % out_width
    n, y = row // out_height, row % out_height
    if tl.program_id(1) == 0:
        tl.store(ordered_fractions + 2 * rank, u, mask=real)
        tl.store(ordered_fractions + 2 * rank + 1, v, mask=real)
        tl.store(places + 2 * rank, x.to(tl.int32), mask=real)
        tl.store(places + 2 * rank + 1, y.to(tl.int32), mask=real)
    first, last = tl.load(cells + chunk * _CHUNK), tl.load(cells + tl.minimum(chunk * _CHUNK + _CHUNK, count) - 1)
    if (first == last) & (first != outside) & (chunk * _CHUNK + _CHUNK <= count):
        at = grad_output + (n * grad_n + y * grad_y + x * grad_x)[:, None] + (channel * grad_c)[None, :]
        grad = tl.load(at, mask=real[:, None] & (channel < channels)[None, :], other=0).to(number)
        for j in tl.static_range(2):
            for i in tl.static_range(2):
                weight = (v if j else 1 - v) * (u if i else 1 - u)
                to = sums + (chunk * 4 + 2 * j + i) * channels + channel
                tl.store(to, tl.sum(weight[:, None] * grad, axis=0), mask=channel < channels)


class _Ranks(NamedTuple):
    """Of the output pixels in cells: the first rank, how many chunks are whole, and how many pixels not in these."""

    start: tl.tensor
    whole: tl.tensor
    beside: tl.tensor


@triton.jit
def _ranks(starts, cell, real):
    start, end = tl.load(starts + cell, mask=real, other=0), tl.load(starts + cell + 1, mask=real, other=0)
    whole = tl.maximum(end // _CHUNK - tl.cdiv(start, _CHUNK), 0)
    return _Ranks(start, whole, end - start - whole * _CHUNK)


@triton.jit
def _longest(a, b, c, d):
    return tl.max(tl.maximum(tl.maximum(a, b), tl.maximum(c, d)))


class _Samples(NamedTuple):
    """One output pixel of each cell: whether there is one, fractions, and where its gradient begins."""

    real: tl.tensor
    u: tl.tensor
    v: tl.tensor
    offset: tl.tensor


@triton.jit
def _samples(fractions, places, ranks, k, grad_y, grad_x):
    """The k-th ones that are not in whole chunks."""
    real, rank = k < ranks.beside, ranks.start + k
    rank += tl.where(rank >= tl.cdiv(ranks.start, _CHUNK) * _CHUNK, ranks.whole * _CHUNK, 0)
    first = 2 * rank.to(tl.int64)
    u, v = tl.load(fractions + first, mask=real, other=0), tl.load(fractions + first + 1, mask=real, other=0)
    x, y = tl.load(places + first, mask=real, other=0), tl.load(places + first + 1, mask=real, other=0)
    return _Samples(real, u, v, y.to(tl.int64) * grad_y + x.to(tl.int64) * grad_x)


@triton.jit
def _read(image, offset, real, channel_offset, channel_real):
    """Channels at these offsets; 0 where they are not real."""
    mask = real[:, None] & channel_real[None, :]
    return tl.load(image + offset[:, None] + channel_offset[None, :], mask=mask, other=0)


@triton.jit(do_not_specialize=UNSPECIALISED)
def _sum_cells(
    grad_output, starts, fractions, places, sums, gradient, first_image, channels, height, width,
    grad_n, grad_c, grad_y, grad_x, to_n, to_c, to_y, to_x,
    number: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    # Not by `served`: an image that is divided for stays in registers, of which Blackwell's have none left.
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.program_id(2).to(tl.int64) + first_image
    y, x = pixel // width, pixel % width
    real, channel_real = y < height, channel < channels
    grads = grad_output + n * grad_n
    # A pixel is the upper left tap of what lies in the cell below and to the right of it; and so on.
    lower_right = (n * (height + 1) + y + 1) * (width + 1) + x + 1
    a, b = _ranks(starts, lower_right, real), _ranks(starts, lower_right - 1, real)
    c, d = _ranks(starts, lower_right - width - 1, real), _ranks(starts, lower_right - width - 2, real)
    total = tl.zeros((PIXELS, CHANNELS), number)
    for k in range(0, _longest(a.beside, b.beside, c.beside, d.beside)):
        # All is asked for before the first of it is used.
        samples = (
            _samples(fractions, places, a, k, grad_y, grad_x),
            _samples(fractions, places, b, k, grad_y, grad_x),
            _samples(fractions, places, c, k, grad_y, grad_x),
            _samples(fractions, places, d, k, grad_y, grad_x),
        )
        read = (
            _read(grads, samples[0].offset, samples[0].real, channel * grad_c, channel_real),
            _read(grads, samples[1].offset, samples[1].real, channel * grad_c, channel_real),
            _read(grads, samples[2].offset, samples[2].real, channel * grad_c, channel_real),
            _read(grads, samples[3].offset, samples[3].real, channel * grad_c, channel_real),
        )
        for tap in tl.static_range(4):
            u, v = samples[tap].u, samples[tap].v
            total += ((v if tap // 2 else 1 - v) * (u if tap % 2 else 1 - u))[:, None] * read[tap].to(number)
    ranks = (a, b, c, d)
    for k in range(0, _longest(a.whole, b.whole, c.whole, d.whole)):
        for tap in tl.static_range(4):
            chunk = (tl.cdiv(ranks[tap].start, _CHUNK) + k).to(tl.int64)
            total += _read(sums, (chunk * 4 + tap) * channels, k < ranks[tap].whole, channel, channel_real)
    to = gradient + n * to_n + (y * to_y + x * to_x)[:, None] + (channel * to_c)[None, :]
    tl.store(to, total.to(gradient.dtype.element_ty), mask=real[:, None] & channel_real[None, :])


def chunk_tile(grad_output: Tensor) -> SampleTile:
    """A chunk, and the channels of a program that adds it up: at most 16 numbers a thread."""
    together = grad_output.stride(1) == 1 and grad_output.shape[1] >= FEW
    return SampleTile(kernels.CHUNK, 32 if together else 4, warps=4)


def gradient_tile(gradient: Tensor, family: Family | None = None) -> SampleTile:
    """A program's pixels and channels: a thread has one pixel, whose four cells take registers, and 16 bytes."""
    tile = sample_tile(gradient, family=family)
    return replace(tile, channels=min(tile.channels * tile.steps, 128 // gradient.element_size()), steps=1)


def find_cells(
    positions: Tensor, cells: Tensor, fractions: Tensor, height: int, width: int, outside: int, coordinates: int,
    border: bool,
) -> None:  # fmt: skip
    """See `tryon_kernels.gpu.kernels`."""
    _find_cells[(triton.cdiv(cells.numel(), CELL_TILE.pixels),)](
        positions, cells, fractions, cells.numel(), outside, height, width, *positions.shape[2:], *positions.stride(),
        coordinates, border, CELL_TILE.pixels, num_warps=CELL_TILE.warps,
    )  # fmt: skip


def order_samples(
    grad_output: Tensor, cells: Tensor, order: Tensor, fractions: Tensor, ordered_fractions: Tensor, places: Tensor,
    sums: Tensor, outside: int,
) -> None:  # fmt: skip
    """See `tryon_kernels.gpu.kernels`."""
    channels = grad_output.shape[1]
    tile = chunk_tile(grad_output)
    _order_samples[(triton.cdiv(cells.numel(), tile.pixels), triton.cdiv(channels, tile.channels))](
        grad_output, cells, order, fractions, ordered_fractions, places, sums, cells.numel(), outside, channels,
        *grad_output.shape[2:], *grad_output.stride(), sum_type(grad_output), tile.channels, num_warps=tile.warps,
    )  # fmt: skip


def sum_cells(
    grad_output: Tensor, starts: Tensor, fractions: Tensor, places: Tensor, sums: Tensor, gradient: Tensor
) -> None:
    """See `tryon_kernels.gpu.kernels`."""
    tile = gradient_tile(gradient)
    count, channels, *size = gradient.shape
    programs, shares = tile.grid(size[0] * size[1], channels, images=1)
    for first in range(0, count, LONGEST_AXIS):
        _sum_cells[(programs, shares, min(count - first, LONGEST_AXIS))](
            grad_output, starts, fractions, places, sums, gradient, first, channels, *size, *grad_output.stride(),
            *gradient.stride(), sum_type(gradient), tile.pixels, tile.channels, num_warps=tile.warps,
        )  # fmt: skip
