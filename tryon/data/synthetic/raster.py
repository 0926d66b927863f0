"""Scan conversion of grid meshes: which triangle each sample shows, and values interpolated across it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Geometry is computed in double precision throughout."""


@cache
def _grid_triangles(rows: int, columns: int) -> NDArray[np.intp]:
    """Vertices of a sheet's triangles, row by row: 2 (rows - 1) (columns - 1) × 3 indices into rows × columns."""
    vertex = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = vertex[:-1, :-1], vertex[:-1, 1:], vertex[1:, :-1], vertex[1:, 1:]
    return np.stack([a, b, d, a, d, c], axis=2).reshape(-1, 3)


def _counter(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, .. counts[0] - 1, 0, 1, .. counts[1] - 1, and so on."""
    starts = np.cumsum(counts) - counts
    return np.arange(counts.sum()) - np.repeat(starts, counts)


def _edge(upper: Array, lower: Array, y: NDArray[np.int64]) -> Array:
    """X of the line from `upper` to `lower` at height y.

    It is evaluated from the upper end, so that both triangles beside an edge get the same number and no sample falls
    between them.
    """
    height = lower[:, 1] - upper[:, 1]
    slope = (lower[:, 0] - upper[:, 0]) / np.where(height > 0, height, 1.0)
    return upper[:, 0] + (y - upper[:, 1]) * slope


class Raster:
    """Sheets of vertices drawn one over the other, the last in front.

    Args:
        sheets: vertex positions (x, y) of each sheet, rows × columns × 2, in pixels; pixel centres are integers.
        height: rows of the picture.
        width: columns of the picture.
        supersample: odd number of samples along each side of a pixel. The middle one lies on the pixel's centre.

    Attributes:
        triangle: shown triangle of every sample, int32, -1 where there is none; supersample height × supersample width.
        sheet_of: sheet that each triangle belongs to.
    """

    def __init__(self, sheets: Sequence[Array], height: int, width: int, supersample: int) -> None:
        self.supersample = supersample
        self._height, self._width = height * supersample, width * supersample
        triangles = [_grid_triangles(*sheet.shape[:2]) for sheet in sheets]
        first_vertex = np.cumsum([0] + [sheet.shape[0] * sheet.shape[1] for sheet in sheets])
        self.sheet_of = np.repeat(np.arange(len(sheets)), [len(indices) for indices in triangles])
        self._vertices = np.concatenate(
            [indices + first for indices, first in zip(triangles, first_vertex, strict=False)]
        )
        self._corners = self._at_corners(sheets) * supersample + (supersample - 1) / 2
        self.triangle = self._scan()

    def _at_corners(self, values: Sequence[Array]) -> Array:
        """Triangles × 3 × channels of values at the vertices of each sheet."""
        return np.concatenate([grid.reshape(-1, grid.shape[2]) for grid in values])[self._vertices]

    def _scan(self) -> NDArray[np.int32]:
        by_height = np.argsort(self._corners[:, :, 1], axis=1, kind="stable")
        corners = np.take_along_axis(self._corners, by_height[:, :, None], axis=1)
        first = np.clip(np.ceil(corners[:, 0, 1]), 0, self._height).astype(np.int64)
        end = np.clip(np.ceil(corners[:, 2, 1]), 0, self._height).astype(np.int64)
        rows = np.maximum(end - first, 0)
        owner = np.repeat(np.arange(len(corners)), rows)
        y = first[owner] + _counter(rows)

        top, middle, bottom = (corners[owner, i] for i in range(3))
        long_side = _edge(top, bottom, y)
        short_side = np.where(y < middle[:, 1], _edge(top, middle, y), _edge(middle, bottom, y))
        left = np.clip(np.ceil(np.minimum(long_side, short_side)), 0, self._width).astype(np.int64)
        right = np.clip(np.ceil(np.maximum(long_side, short_side)), 0, self._width).astype(np.int64)
        lengths = right - left

        shown = np.full(self._height * self._width, -1, dtype=np.int32)
        # Triangles come in drawing order, and of repeated indices NumPy keeps the last value.
        shown[np.repeat(y * self._width + left, lengths) + _counter(lengths)] = np.repeat(owner, lengths)
        return shown.reshape(self._height, self._width)

    def interpolate(self, values: Sequence[Array], samples: NDArray[np.int64]) -> Array:
        """Vertex values, linear across each triangle, at covered samples.

        Args:
            values: one grid for each sheet, rows × columns × channels.
            samples: flat indices into `triangle`, each of them covered.

        Returns:
            len(samples) × channels.
        """
        corner_values = self._at_corners(values)
        origin, along, across = self._corners[:, 0], *(self._corners[:, i] - self._corners[:, 0] for i in (1, 2))
        determinant = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
        scale = 1.0 / np.where(determinant == 0, 1.0, determinant)[:, None]
        change_along, change_across = (corner_values[:, i] - corner_values[:, 0] for i in (1, 2))
        slope_x = (change_along * across[:, 1:] - change_across * along[:, 1:]) * scale
        slope_y = (change_across * along[:, :1] - change_along * across[:, :1]) * scale
        offset = corner_values[:, 0] - slope_x * origin[:, :1] - slope_y * origin[:, 1:]

        planes = np.take(np.stack([slope_x, slope_y, offset], axis=1), np.take(self.triangle.ravel(), samples), axis=0)
        y, x = np.divmod(samples, self._width)
        return planes[:, 0] * x[:, None] + planes[:, 1] * y[:, None] + planes[:, 2]

    def pixel_of(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Flat index of the pixel that each sample belongs to."""
        y, x = np.divmod(samples, self._width)
        return y // self.supersample * (self._width // self.supersample) + x // self.supersample

    def at_centres(self, samples: NDArray) -> NDArray:
        """The sample on each pixel's centre, of an array with one value per sample."""
        middle = self.supersample // 2
        return samples[middle :: self.supersample, middle :: self.supersample]

    def average(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over each pixel's samples, of an array supersample height × supersample width × channels."""
        step = self.supersample
        total = sum(samples[i::step, j::step] for i in range(step) for j in range(step))
        return np.asarray(total, dtype=np.float32) / np.float32(step * step)
