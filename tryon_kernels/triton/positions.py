"""Where output pixels fall in the input: what all kernels that sample have in common."""

from __future__ import annotations

import triton
import triton.language as tl

from tryon_kernels.gpu import kernels

# Triton compiles anew for arguments that are 1 or multiples of 16. Of these neither makes the code of sampling better.
UNSPECIALISED = [
    *("height", "width", "out_height", "out_width", "count", "outside", "first_image"),
    *(f"positions_{axis}" for axis in ("n", "axis", "y", "x")),
]

# As Triton wants constants.
PIXEL_OFFSETS = tl.constexpr(kernels.PIXEL_OFFSETS)
CORNERS_ALIGNED = tl.constexpr(kernels.CORNERS_ALIGNED)


@triton.jit
def served(height, width, PIXELS: tl.constexpr):
    """The image that a program serves, and which of the image's height x width pixels: see `SampleTile.grid`."""
    programs = tl.cdiv(tl.cast(height, tl.int64) * width, PIXELS).to(tl.int32)
    index = tl.program_id(0)
    return (index // programs).to(tl.int64), (index % programs).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)


@triton.jit
def locate(given, index, size, coordinates: tl.constexpr, border: tl.constexpr):
    """Lower neighbour of positions along one axis, the fraction beyond it, and the pixel position's slope.

    As in `tryon_kernels.eager`: positions are brought in from where they change nothing any more, not a number to the
    low end, and then have the slope 0.
    """
    extent = tl.cast(size, given.dtype)
    if coordinates == PIXEL_OFFSETS:
        position = given + index.to(given.dtype)
        slope = extent * 0 + 1
    elif coordinates == CORNERS_ALIGNED:
        position = (given + 1) / 2 * (extent - 1)
        slope = (extent - 1) / 2
    else:
        position = ((given + 1) * extent - 1) / 2
        slope = extent / 2
    if border:
        low, high = extent * 0, extent - 1
        inside = (position > low) & (position < high)
    else:
        low, high = extent * 0 - 2, extent
        inside = (position >= -1) & (position <= high)
    confined = tl.where(inside, position, tl.where(position >= high, high, low))
    first = tl.floor(confined)
    return first.to(tl.int32), confined - first, tl.where(inside, slope, 0)


@triton.jit
def read_position(pointer, axis_stride, y, x, real, height, width, coordinates: tl.constexpr, border: tl.constexpr):
    """Row and column of the upper left taps of pixels (y, x) whose positions begin at `pointer`; see `locate`."""
    given_x = tl.load(pointer, mask=real, other=0)
    given_y = tl.load(pointer + axis_stride, mask=real, other=0)
    left, right_weight, x_slope = locate(given_x, x, width, coordinates, border)
    top, lower_weight, y_slope = locate(given_y, y, height, coordinates, border)
    return top, left, lower_weight, right_weight, y_slope, x_slope


@triton.jit
def read_tap(pointer, row, column, height, width, row_stride, column_stride, real, channel_offset, channel_real):
    """Taps of pixels in some channels, pixels x channels; 0 outside."""
    within = real & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    offset = row.to(tl.int64) * row_stride + column.to(tl.int64) * column_stride
    mask = within[:, None] & channel_real[None, :]
    return tl.load(pointer + offset[:, None] + channel_offset[None, :], mask=mask, other=0)
