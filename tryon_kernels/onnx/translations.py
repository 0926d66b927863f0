"""The ops as ONNX operators; each function has the arguments of its op's schema and makes the nodes of a graph.

Sampling is ONNX's GridSample. A correlation is matrix products of parts of a row with what is around them, for runtimes
multiply matrices far quicker than they add up 49 products of whole maps:

    first     N x H x parts x PART x C                          the pixels of each row, part by part
    second    N x H + 2 radius x parts x C x PART + 2 radius    the columns around each part, zeros outside
    product   N x H x parts x PART x PART + 2 radius            one for each dy, of which a diagonal band is wanted:
                                                                from row i the columns i to i + 2 radius
"""

from __future__ import annotations

from typing import Any

import onnx
from onnxscript import opset18 as op

FAR = 5.0  # a normalised position beyond every image; see tryon_kernels.stock
PART = 16  # pixels of a row that are multiplied together; twice the radius, where that is more
_TO_END = 2**62

Value = Any  # of the graph that is being made


def grid_sample(input: Value, grid: Value, padding_mode: str, align_corners: bool) -> Value:
    """GridSample; NaN counts as -infinity, and infinity is `FAR`."""
    return op.CastLike(_sampled(_widened(input), grid, padding_mode, align_corners), input)


def warp(input: Value, flow: Value, padding_mode: str) -> Value:
    """The same, at each pixel's own position plus the flow."""
    positions = []
    for channel, axis, along in ((0, 3, [1, 1, 1, -1]), (1, 2, [1, 1, -1, 1])):
        step = op.Div(2.0, op.CastLike(_size(input, axis), flow))  # from pixel to pixel, of outer edges
        number = op.CastLike(op.Range(0, op.Squeeze(_size(flow, axis)), 1), flow)
        own = op.Reshape(op.Sub(op.Mul(op.Add(number, 0.5), step), 1.0), along)
        positions.append(op.Add(own, op.Mul(op.Slice(flow, [channel], [channel + 1], [1]), step)))
    grid = op.Transpose(op.Concat(*positions, axis=1), perm=[0, 2, 3, 1])
    return grid_sample(input, grid, padding_mode, False)


def correlation(
    first: Value, second: Value, radius: int, stride: int, negative_slope: float | None, mean: bool
) -> Value:
    """Matrix products; see above."""
    centres, around = _strided(_widened(first), stride), _strided(_widened(second), stride)
    return op.CastLike(_volume(centres, around, radius, negative_slope, mean), first)


def warp_correlation(
    first: Value,
    second: Value,
    grid: Value,
    radius: int,
    negative_slope: float | None,
    padding_mode: str,
    align_corners: bool,
) -> Value:
    """The two after each other."""
    warped = _sampled(_widened(first), grid, padding_mode, align_corners)
    return op.CastLike(_volume(warped, _widened(second), radius, negative_slope, True), first)


def _sampled(input: Value, grid: Value, padding_mode: str, align_corners: bool) -> Value:
    far = op.CastLike(FAR, grid)
    grid = op.Where(op.IsNaN(grid), op.Neg(far), op.Clip(grid, op.Neg(far), far))
    # The mode's name is that of opset 16; the exporter renames it for opset 20.
    how: dict[str, Any] = {"mode": "bilinear", "padding_mode": padding_mode, "align_corners": int(align_corners)}
    return op.GridSample(input, grid, **how)


def _volume(first: Value, second: Value, radius: int, negative_slope: float | None, mean: bool) -> Value:
    window, part = 2 * radius + 1, max(PART, 2 * radius)
    count, channels, height, width = (_size(first, axis) for axis in range(4))
    parts = op.Div(op.Add(width, part - 1), [part])
    beyond = op.Sub(op.Mul(parts, [part]), width)  # columns that the last part has too many
    rows = _in_parts(first, 0, beyond, part)
    around = _in_parts(second, radius, op.Add(beyond, part - radius), part)
    own, next_ones = op.Slice(around, [0], [-1], [2]), op.Slice(around, [1, 0], [_TO_END, 2 * radius], [2, 3])
    around = op.Transpose(op.Concat(own, next_ones, axis=3), perm=[0, 1, 2, 4, 3])
    bands = []
    for dy in range(window):
        product = op.MatMul(rows, op.Slice(around, [dy], op.Add(height, dy), [1]))
        # Read in rows that are one longer, the band is a column.
        numbers = op.Pad(op.Reshape(product, _shape(count, height, parts, -1)), [0] * 7 + [part])
        skewed = op.Reshape(numbers, _shape(count, height, parts, part, -1))
        bands.append(op.Slice(skewed, [0], [window], [4]))
    volume = op.Reshape(op.Concat(*bands, axis=4), _shape(count, height, -1, window**2))
    volume = op.Slice(op.Transpose(volume, perm=[0, 3, 1, 2]), [0], width, [3])
    if mean:
        volume = op.Div(volume, op.CastLike(channels, volume))
    if negative_slope is not None:
        volume = op.LeakyRelu(volume, alpha=negative_slope)
    return volume


def _widened(features: Value) -> Value:
    """Features of float32 at least."""
    return op.Cast(features, to=onnx.TensorProto.FLOAT) if features.dtype.bitwidth < 32 else features


def _strided(features: Value, stride: int) -> Value:
    """Every stride-th row and column."""
    return features if stride == 1 else op.Slice(features, [0, 0], [_TO_END] * 2, [2, 3], [stride] * 2)


def _in_parts(features: Value, around: int, right: Value, part: int) -> Value:
    """Rows with zeros above, below, left and right, in parts: N x rows x parts x part x C."""
    padded = op.Pad(features, _shape(0, 0, around, around, 0, 0, around, right))
    count, channels, height, _ = (_size(padded, axis) for axis in range(4))
    return op.Reshape(op.Transpose(padded, perm=[0, 2, 3, 1]), _shape(count, height, -1, part, channels))


def _size(tensor: Value, axis: int) -> Value:
    """One size of a tensor, as a shape of one number."""
    return op.Shape(tensor, start=axis, end=axis + 1)


def _shape(*sizes: Value | int) -> Value:
    """A shape of sizes that are known and sizes that are not."""
    return op.Concat(*(op.Constant(value_ints=[size]) if isinstance(size, int) else size for size in sizes), axis=0)
