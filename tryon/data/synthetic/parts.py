"""The sheets a picture is drawn from, and the label values they carry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np

from .person import Colour
from .raster import Array


class Label(IntEnum):
    """Parsing labels of VITON's training data, `NOISE` being a value its parser leaves inside garments.

    Neck and trunk are background there; `NECK` names them in the truth of test pairs alone.
    """

    BACKGROUND = 0
    HAIR = 1
    GARMENT = 4
    LEFT_SHOE = 5
    RIGHT_SHOE = 6
    NOISE = 7
    BOTTOMS = 8
    LEFT_LEG = 9
    RIGHT_LEG = 10
    LEFT_ARM = 11
    FACE = 12
    RIGHT_ARM = 13
    NECK = 14


class Finish(IntEnum):
    """How a sheet is shaded."""

    SKIN = 0
    HAND = 1
    FACE = 2
    HAIR = 3
    CLOTH = 4
    WAIST = 5
    SHOE = 6
    GARMENT = 7


@dataclass(frozen=True)
class Part:
    """One sheet of the picture.

    Attributes:
        vertices: positions in pixels of the photo, rows × columns × 2.
        coordinates: place on the surface, same shape: across (-1 to 1) and along (0 to 1); on the face, the offset from
            its middle in half widths and half heights.
        label: parsing label.
        depth: nearness to the viewer, 0 (wall) to 1, for the shadows that parts cast on those behind.
        finish: how it is shaded.
        colour: base colour.
        densepose: part index where across is negative, and where it is not; (0, 0) for what is not body.
        source: product-photo position of each vertex in pixels, for garment sheets.
    """

    vertices: Array
    coordinates: Array
    label: Label
    depth: float
    finish: Finish
    colour: Colour
    densepose: tuple[int, int] = (0, 0)
    source: Array | None = None


@cache
def surface_coordinates(rows: int, columns: int) -> Array:
    """Across and along of a regular sheet, rows × columns × 2; shared, so read-only."""
    across, along = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(0, 1, rows))
    coordinates = np.stack([across, along], axis=2)
    coordinates.flags.writeable = False
    return coordinates


def normals(line: Array) -> Array:
    """Unit normals at the points of a line, n × 2; on a line that runs down the picture they point right."""
    step = np.empty_like(line)
    step[1:-1] = line[2:] - line[:-2]
    step[0], step[-1] = line[1] - line[0], line[-1] - line[-2]
    step /= np.hypot(step[:, 0], step[:, 1])[:, None]
    return np.stack([step[:, 1], -step[:, 0]], axis=1)


def ribbon(centres: Array, half_widths: Array, columns: int = 7) -> Array:
    """A sheet of given half widths around a line of points.

    Args:
        centres: points from the first row to the last, rows × 2.
        half_widths: one per row.
        columns: vertices across.

    Returns:
        rows × columns × 2; on a line that runs down the picture, across goes from left to right.
    """
    normal = normals(centres)
    across = np.linspace(-1, 1, columns)
    return centres[:, None] + across[None, :, None] * half_widths[:, None, None] * normal[:, None]
