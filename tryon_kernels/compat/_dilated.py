"""What the compatible correlation layers share: a correlation with any centres, displacements and windows.

`tryon_kernels.correlation` moves by whole strides from centre to centre and from displacement to displacement. A layer
whose two steps differ has the same form on parts of its maps: of the pixels that lie a common period apart. Such parts
are correlated one by one, no product is computed twice, and the volumes are put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from tryon_kernels.checks import check_correlation
from tryon_kernels.eager import position_dtype
from tryon_kernels.functional import correlation
from tryon_kernels.ops.library import lowered_by_autocast

# `correlation` computes squares of displacements. Beyond so many times the wanted ones, as for a patch of one row,
# that is memory for nothing.
MOST_SPARE = 4


@dataclass(frozen=True)
class Axis:
    """Where a layer looks along one axis; lengths in pixels.

    Attributes:
        start: place of the first window's first pixel in the map, negative where it lies in padding.
        stride: from window to window, 1 or more.
        window: pixels of a window, 1 or more.
        dilation: from pixel to pixel of a window, 1 or more.
        patch: number of displacements, 1 or more; the first is -((patch - 1) // 2) * step.
        step: from displacement to displacement, 1 or more.
    """

    start: int
    stride: int
    window: int
    dilation: int
    patch: int
    step: int

    @property
    def extent(self) -> int:
        """Pixels from a window's first to its last, both counted."""
        return self.dilation * (self.window - 1) + 1

    @property
    def lowest(self) -> int:
        """The first displacement, in steps."""
        return -((self.patch - 1) // 2)

    def outputs(self, size: int) -> int:
        """Number of windows in a map of this size that has the same padding (or margin) on both sides."""
        return (size - 2 * self.start - self.extent) // self.stride + 1


def correlate(first: Tensor, second: Tensor, rows: Axis, columns: Axis, reduction: str) -> Tensor:
    """Mean or sum of the products of displaced windows over their pixels and all channels, zeros outside the maps.

    Sums are float32 at least, and rounded once.

    Args:
        first: N x C x H x W, float16, bfloat16, float32 or float64, any strides.
        second: like first. Under autocast both are lowered to its dtype.
        rows: centres, windows and displacements along H.
        columns: the same along W.
        reduction: "mean" or "sum".

    Returns:
        N x rows.patch x columns.patch x rows.outputs(H) x columns.outputs(W) in the dtype of first.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size or device does not fit, or no window fits into the map.
    """
    first, second = lowered_by_autocast(first, second)
    check_correlation(first, second, radius=0, stride=1, negative_slope=None)
    axes = (rows, columns)
    sizes = tuple(axis.outputs(size) for axis, size in zip(axes, first.shape[2:], strict=True))
    if min(sizes) < 1:
        height, width = first.shape[2:]
        raise ValueError(f"first: got a height and width of {height} x {width}, expected room for one window or more")
    return (_by_kernels if _suits_kernels(axes) else _plain)(first, second, axes, sizes, reduction)


def _suits_kernels(axes: Sequence[Axis]) -> bool:
    """Whether `correlation` computes this without many volumes and without many displacements that nobody wants."""
    one_pixel = all(axis.window == 1 for axis in axes)
    nested = all(axis.stride % axis.step == 0 or axis.step % axis.stride == 0 for axis in axes)
    side = 2 * max(axis.patch // 2 for axis in axes) + 1
    return one_pixel and nested and side**2 <= MOST_SPARE * axes[0].patch * axes[1].patch


class _Lattice:
    """One axis cut into parts of pixels that lie a period apart, so that each part has unit steps.

    Centre `turns * j + turn` lies in the part `first_place(turn)`, displacement `shares * q + share` leads from there
    to the part `second_place(turn, share)`.
    """

    def __init__(self, axis: Axis, size: int, outputs: int) -> None:
        self.axis = axis
        self.period = max(axis.stride, axis.step)
        self.turns = min(self.period // axis.stride, outputs)
        self.shares = min(self.period // axis.step, axis.patch)
        self.centres = -(-outputs // self.turns)  # of one turn
        self.displacements = -(-axis.patch // self.shares)  # of one share
        self.before = max(0, -axis.start)
        last = axis.start + self.before + (self.turns - 1) * axis.stride + (self.centres - 1) * self.period
        # Whole periods: then all parts have one size.
        self.after = -(-max(size + self.before, last + 1) // self.period) * self.period - self.before - size

    def first_place(self, turn: int) -> tuple[int, int]:
        """Index of a turn's first centre within its part, and the part."""
        return divmod(self.axis.start + self.before + turn * self.axis.stride, self.period)

    def second_place(self, turn: int, share: int) -> tuple[int, int]:
        """A share's first displacement as a difference of indices, and the part that it leads to."""
        part = self.first_place(turn)[1]
        return divmod(part + (self.axis.lowest + share) * self.axis.step, self.period)


def _by_kernels(first: Tensor, second: Tensor, axes: Sequence[Axis], sizes: Sequence[int], reduction: str) -> Tensor:
    """`correlate` for windows of one pixel, by `correlation` of parts of the maps."""
    y, x = (_Lattice(*each) for each in zip(axes, first.shape[2:], sizes, strict=True))
    margins = (x.before, x.after, y.before, y.after)
    if any(margins):
        first, second = F.pad(first, margins), F.pad(second, margins)
    volumes = []
    for share_y, share_x, turn_y, turn_x in product(*map(range, (y.shares, x.shares, y.turns, x.turns))):
        (row, from_y), (column, from_x) = y.first_place(turn_y), x.first_place(turn_x)
        (dy, to_y), (dx, to_x) = y.second_place(turn_y, share_y), x.second_place(turn_x, share_x)
        radius = max(-dy, -dx, dy + y.displacements - 1, dx + x.displacements - 1)
        volume = correlation(
            first[:, :, from_y :: y.period, from_x :: x.period],
            second[:, :, to_y :: y.period, to_x :: x.period],
            radius=radius,
            reduction=reduction,
        ).unflatten(1, (2 * radius + 1, 2 * radius + 1))
        volume = volume.narrow(1, radius + dy, y.displacements).narrow(2, radius + dx, x.displacements)
        volumes.append(volume.narrow(3, row, y.centres).narrow(4, column, x.centres))
    # Of one volume a view is enough.
    together = torch.stack(volumes, 1) if len(volumes) > 1 else volumes[0].unsqueeze(1)
    apart = together.unflatten(1, (y.shares, x.shares, y.turns, x.turns)).permute(0, 5, 1, 6, 2, 7, 3, 8, 4)
    joined = apart.flatten(7, 8).flatten(5, 6).flatten(3, 4).flatten(1, 2)
    return joined[:, : axes[0].patch, : axes[1].patch, : sizes[0], : sizes[1]]


def _plain(first: Tensor, second: Tensor, axes: Sequence[Axis], sizes: Sequence[int], reduction: str) -> Tensor:
    """`correlate` by plain torch operations: one product of the maps for each displacement, summed over the windows."""
    dtype = position_dtype(first)
    spans = [axis.stride * (size - 1) + axis.extent for axis, size in zip(axes, sizes, strict=True)]
    starts = [axis.start for axis in axes]
    lowest = [axis.start + axis.lowest * axis.step for axis in axes]
    reached = [span + (axis.patch - 1) * axis.step for axis, span in zip(axes, spans, strict=True)]
    still = _cut(first.to(dtype), starts, spans)
    moving = _cut(second.to(dtype), lowest, reached)
    volume = torch.stack(
        [
            _window_sums((still * moving[:, :, dy : dy + spans[0], dx : dx + spans[1]]).sum(1), axes, sizes)
            for dy in range(0, axes[0].patch * axes[0].step, axes[0].step)
            for dx in range(0, axes[1].patch * axes[1].step, axes[1].step)
        ],
        dim=1,
    ).unflatten(1, (axes[0].patch, axes[1].patch))
    if reduction == "mean":
        volume = volume / max(first.shape[1] * axes[0].window * axes[1].window, 1)
    return volume.to(first.dtype)


def _cut(tensor: Tensor, starts: Sequence[int], spans: Sequence[int]) -> Tensor:
    """The rectangle of rows and columns from these places on, zeros where it lies outside the map."""
    for dim, start, span in zip((2, 3), starts, spans, strict=True):
        before, after = max(0, -start), max(0, start + span - tensor.shape[dim])
        margins = (0, 0, before, after) if dim == 2 else (before, after)
        tensor = F.pad(tensor, margins).narrow(dim, start + before, span)
    return tensor


def _window_sums(values: Tensor, axes: Sequence[Axis], sizes: Sequence[int]) -> Tensor:
    """Sum of N x rows x columns over each window."""
    y, x = axes
    total = values.new_zeros(values.shape[0], *sizes)
    for top, left in product(range(0, y.extent, y.dilation), range(0, x.extent, x.dilation)):
        rows = slice(top, top + y.stride * (sizes[0] - 1) + 1, y.stride)
        columns = slice(left, left + x.stride * (sizes[1] - 1) + 1, x.stride)
        total = total + values[:, rows, columns]
    return total
