"""Separating a garment from the plain background of its product photo.

On a copy of at most `WORK_SIDE` pixels a side:

1. Bars and frames of one colour around the photo are left out.
2. The background is a colour that may change smoothly over the photo: a quadratic surface through the border's pixels.
3. What is as far from it as the border's noise, and connected to the border, is outside.
4. Soft shadows are outside: darker background, without an edge between.
5. The outline goes where the colour is a share of the way from background to garment, not where the noise ends: so the
   blur and ringing of strong outlines is outside, and white garments on white lose nothing.
6. A mask that cannot be one garment is refused.

tryon/page/static/plain_background.js does the same in browsers, to the pixel.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tryon.errors import InputError

Pixels = NDArray[np.uint8]
Levels = NDArray[np.float64]
Area = NDArray[np.bool_]
Box = tuple[slice, slice]
Values = TypeVar("Values", Levels, Area)

WORK_SIDE = 512
PLAIN_BORDER = 0.6  # share of the border that must be background; the rest may be a garment that is cut off
LOOSEST_PLAIN = 12  # grey levels (of 255) by which that share may differ from the background in any channel
STRONGEST_GRADIENT = 64  # grey levels between the background's lightest and darkest place
TIGHTEST_TOLERANCE = 4  # grey levels; looser, white garments on white leak into the background
SMALLEST_GARMENT = 0.03  # share of the photo
LARGEST_GARMENT = 0.98
_BORDER_SHARE = 1 / 64  # thickness of the border, as a share of the photo's shorter side
_UNIT_SHARE = 1 / 192  # what is a pixel at the published size
_RIM = 4  # units around the outside in which an outline's blur and JPEG's ringing are
_OUTLINE = 0.3  # share of the way from background to garment at which the outline is
_LOOSEST_OUTLINE = 48  # grey levels
_FRAME_SHARE = 1 / 8  # thickest frame on all four sides, as a share of a side
_ANOTHER_COLOUR = 24  # grey levels
_DARKEST_SHADOW = 0.5  # of the background's brightness
_GREYEST_SHADOW = 0.04  # difference of that share between channels
_SOFTEST_EDGE = 8  # grey levels a unit; a shadow's are softer
_PLAIN_CONTRAST = 64  # grey levels; garments nearer to the background keep what might be a shadow
_SECOND_PIECE = 1 / 3  # of the largest piece; another piece so large is another garment
_SMALLEST_PIECE = 1 / 100
_CUT_ACROSS = 0.3  # share of both of two opposite sides
_ALL_ALONG = 0.97  # share of a line
_NEARLY_NONE = 0.2  # share of a garment that may be nearer to the background than its contrast
_FITS = 8
_FLATNESS = 1e-3  # of the background, beside a pixel's weight of 1: decides only what the border leaves open
_FINEST = 1 / 1024  # grey levels; rounded to it, the background does not depend on the order in which a machine adds
_HALF = 128


def garment_mask(photo: Image.Image, name: str = "garment") -> Image.Image:
    """Separate a garment from a plain background.

    Background colour inside the garment, as of a white print, stays garment.

    Args:
        photo: product photo, any size.
        name: what to call the photo in an error: a file name, say.

    Returns:
        Mode "L" image of the photo's size, 255 on the garment and 0 elsewhere.

    Raises:
        InputError: the background is not plain, or what differs from it cannot be one garment.
    """
    photo = photo.convert("RGB")
    factor = -(-max(photo.size) // WORK_SIDE)
    small = np.asarray(photo.reduce(factor) if factor > 1 else photo)
    box = _unframed(small)
    framed = "" if small[box].shape == small.shape else " inside its frame"
    inside = np.zeros(small.shape[:2], bool)
    inside[box] = _garment(small[box], f"{name}: found", framed)
    mask = Image.fromarray(np.where(inside, np.uint8(255), np.uint8(0)))
    if factor == 1:
        return mask
    enlarged = mask.resize(photo.size, Image.Resampling.BICUBIC)
    return enlarged.point([0] * _HALF + [255] * _HALF)


def border_of(pixels: np.ndarray) -> np.ndarray:
    """All pixels of an H x W x ... array that are near its edge, in one line."""
    thickness = max(1, round(min(pixels.shape[:2]) * _BORDER_SHARE))
    sides = (pixels[:thickness], pixels[-thickness:], pixels[:, :thickness], pixels[:, -thickness:])
    return np.concatenate([side.reshape(-1, *pixels.shape[2:]) for side in sides])


def _garment(colours: Pixels, found: str, framed: str) -> Area:
    """The garment's area in a photo without bars. Raises InputError that begins with `found`."""
    unit = max(1, round(min(colours.shape[:2]) * _UNIT_SHARE))
    background, deviation = _background(colours)
    if deviation > LOOSEST_PLAIN:
        raise InputError(
            f"{found} no plain background{framed} (the border's colours differ by {deviation:.0f} grey levels,"
            f" wanted at most {LOOSEST_PLAIN}); give a garment mask"
        )
    difference = _over_channels(np.maximum, np.abs(colours - background))
    tolerance = max(TIGHTEST_TOLERANCE, 2 * deviation)
    outside = connected_to_border(difference <= tolerance)
    difference, outside = _without_shadow(colours, background, difference, outside, unit)
    contrast = _contrast(difference, outside, unit)
    outline = min(max(tolerance, _OUTLINE * contrast), _LOOSEST_OUTLINE)
    outside = connected_to_border(_grown(outside, difference <= outline, _RIM * unit) | (difference <= tolerance))
    return _one_garment(_smooth(~outside), found, framed)


def _unframed(colours: Pixels) -> Box:
    """What of a photo is within bars and frames: lines of one colour, all along which there is another beside."""
    height, width = colours.shape[:2]
    turned = colours.transpose(1, 0, 2)
    bars = [_plain_lines(side) for side in (colours, colours[::-1], turned, turned[::-1])]
    thickest = max(bar / side for bar, side in zip(bars, (height, height, width, width), strict=True))
    if max(bars[:2]) > 0 and max(bars[2:]) > 0 and thickest > _FRAME_SHARE:  # background around a garment
        bars = [0, 0, 0, 0]
    while True:
        top, bottom, left, right = bars
        rows, columns = slice(top, height - bottom), slice(left, width - right)
        above_and_below = colours[top, columns], colours[height - 1 - bottom, columns]
        beside = turned[left, rows], turned[width - 1 - right, rows]
        outermost = colours[0], colours[-1], turned[0], turned[-1]
        lines = zip(bars, outermost, (*above_and_below, *beside), strict=True)
        kept = [bar if _differs(frame, line) else 0 for bar, frame, line in lines]
        if kept == bars:
            return rows, columns
        bars = kept  # with less left out, the lines beside the others are longer


def _plain_lines(colours: Pixels) -> int:
    """How many lines from the first on are of its colour, and two more, which may be blurred; 0 if all are."""
    plain = _over_channels(np.maximum, np.abs(colours - np.median(colours[0], axis=0))) <= LOOSEST_PLAIN
    others = np.flatnonzero(plain.mean(axis=1) < _ALL_ALONG)
    if not len(others) or others[0] == 0 or others[0] + 2 >= len(colours) // 2:
        return 0
    return int(others[0]) + 2


def _differs(bar: Pixels, line: Pixels) -> bool:
    """Whether nearly all of a line is of another colour than a bar."""
    change = _over_channels(np.maximum, np.abs(line - np.median(bar, axis=0)))
    return bool((change > _ANOTHER_COLOUR).mean() > _ALL_ALONG)


def _background(colours: Pixels) -> tuple[Levels, float]:
    """The background behind everything, H x W x 3, and by how much the border's plain share differs from it.

    A quadratic surface of the place is fitted to the border's pixels, again and again to those that are nearest to it.
    """
    height, width = colours.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)
    border, places = border_of(colours).astype(np.float64), border_of(terms)
    middle = np.median(border, axis=0)
    apart = _over_channels(np.maximum, np.abs(border - middle))
    surface = np.zeros((terms.shape[2], 3))
    for _ in range(_FITS):
        near = apart <= np.quantile(apart, PLAIN_BORDER)
        surface = _surface(places[near], border[near])
        apart = _over_channels(np.maximum, np.abs(border - _steps(places @ surface)))
    background = _steps(terms @ surface)
    if np.ptp(background, axis=(0, 1)).max() > STRONGEST_GRADIENT:
        background[:] = middle
        apart = _over_channels(np.maximum, np.abs(border - middle))
    return background, float(np.quantile(apart, PLAIN_BORDER))


def _surface(places: Levels, colours: Levels) -> Levels:
    """The terms' factors, 6 x 3, of the surface nearest to colours (N x 3) at places (N x 6): least squares."""
    flat = np.diag([0.0] + [_FLATNESS] * 5)
    return np.linalg.solve(places.T @ places + flat, places.T @ colours)


def _over_channels(choose: np.ufunc, levels: Levels) -> Levels:
    """The highest or lowest of each place's three channels; numpy's own `max` along so few is ten times slower."""
    red, green, blue = np.moveaxis(levels, -1, 0)
    return np.asarray(choose(choose(red, green), blue))


def _steps(levels: Levels) -> Levels:
    return np.rint(levels / _FINEST) * _FINEST


def _without_shadow(
    colours: Pixels, background: Levels, difference: Levels, outside: Area, unit: int
) -> tuple[Levels, Area]:
    """The differences with a soft shadow's taken off, and the outside with the shadow.

    A shadow is the background's colour, darker, and has no edge where it begins. A garment of such a colour that has
    none either would be lost: where what is left does not clearly differ from the background, nothing is a shadow.
    """
    share = colours / np.maximum(background, 1)
    darkest, lightest = _over_channels(np.minimum, share), _over_channels(np.maximum, share)
    grey = lightest - darkest <= _GREYEST_SHADOW
    brightness = colours.mean(axis=2)
    slopes = np.gradient(np.pad(brightness, 1, mode="edge"))
    soft = np.maximum(*np.abs(slopes))[1:-1, 1:-1] <= _SOFTEST_EDGE / unit
    darkened = grey & soft & (darkest >= _DARKEST_SHADOW) & (lightest <= 1)
    shaded = connected_to_border(outside | darkened)
    left = difference[~shaded]
    if not left.size or np.median(left) < _PLAIN_CONTRAST:
        return difference, outside
    shadow = np.where(shaded & ~outside, difference, 0)
    return np.maximum(difference - _highest_around(shadow, _RIM * unit), 0), shaded


def _contrast(difference: Levels, outside: Area, unit: int) -> float:
    """How far from the background nearly all of the garment is that is not its rim."""
    inner = difference[~_highest_around(outside, _RIM * unit)]
    return float(np.quantile(inner, _NEARLY_NONE)) if inner.size else 0.0


def _highest_around(values: Values, distance: int) -> Values:
    """The highest value of a square around each place, H x W: first along columns, then along rows."""
    for axis in (0, 1):
        for _ in range(distance):
            lines = np.moveaxis(values, axis, 0)
            highest = lines.copy()
            np.maximum(highest[1:], lines[:-1], out=highest[1:])
            np.maximum(highest[:-1], lines[1:], out=highest[:-1])
            values = np.moveaxis(highest, 0, axis)
    return values


def _grown(area: Area, allowed: Area, steps: int) -> Area:
    """An area and what is allowed of what is around it, up to so many steps away."""
    for _ in range(steps):
        area = area | (_highest_around(area, 1) & allowed)
    return area


def _smooth(area: Area) -> Area:
    """An area without single stray pixels."""
    return np.asarray(Image.fromarray(area.astype(np.uint8)).filter(ImageFilter.MedianFilter(3))) > 0


def _one_garment(area: Area, found: str, framed: str) -> Area:
    """An area without its specks. Raises InputError where it cannot be one garment's."""
    covered, border = float(area.mean()), float(border_of(area).mean())
    if covered < SMALLEST_GARMENT:
        wanted = f"wanted {SMALLEST_GARMENT:.0%}"
        what = f"no garment on the background ({covered:.1%} of the photo differs from it, {wanted})"
    elif covered > LARGEST_GARMENT:
        what = f"no background around the garment ({covered:.1%} of the photo differs from the border)"
    elif border > covered:
        differs = f"{border:.0%} of the border differs from its main colour"
        what = f"a garment that is cut off all around, or none ({differs})"
    elif (across := _reaching_across(area)) > _CUT_ACROSS:
        what = f"a garment that is cut off on opposite sides, or a part of one ({across:.0%} of both is garment)"
    else:
        pieces = pieces_of(area)
        sizes = np.bincount(pieces.ravel())[1:]
        large = int((sizes > _SECOND_PIECE * sizes.max()).sum())
        if large == 1:
            return np.append(False, sizes > _SMALLEST_PIECE * sizes.max())[pieces]
        what = f"{large} pieces of similar size, wanted one garment"
    raise InputError(f"{found} {what}{framed}; give a garment mask")


def _reaching_across(area: Area) -> float:
    """The share of two opposite sides of a photo that is in an area: of that pair which has more of it."""
    return max(min(area[0].mean(), area[-1].mean()), min(area[:, 0].mean(), area[:, -1].mean()))


def connected_to_border(area: Area) -> Area:
    """The part of an area (H x W bool) from which a path through it leads to the border, by pixels' four neighbours."""
    return _roots(np.pad(area, 1, constant_values=True))[1:-1, 1:-1] == 1


def pieces_of(area: Area) -> NDArray[np.int64]:
    """Number the pieces of an area (H x W bool), connected by pixels' four neighbours, from 1; 0 is none."""
    roots = _roots(area)
    return np.unique(roots, return_inverse=True)[1].reshape(area.shape) + int(area.all())


def _roots(area: Area) -> NDArray[np.int64]:
    """A number for each piece of an area, 1 for the piece that is first met and more for others; 0 is none.

    Rows are cut into runs of the area, and runs that touch in neighbouring rows are joined, all at a time, until each
    has the root of all that it is connected to: its first run.
    """
    framed = np.pad(area, ((0, 0), (0, 1)))  # so that no run goes over the end of its row
    width = framed.shape[1]
    inside = np.pad(framed.ravel(), (1, 0))
    changes = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = changes[::2], changes[1::2]
    first = np.searchsorted(ends, starts + width, side="right")  # of the runs below that touch
    touching = np.searchsorted(starts, ends + width, side="left") - first
    above = np.repeat(np.arange(len(starts)), touching)
    below = np.arange(len(above)) + np.repeat(first - np.cumsum(touching) + touching, touching)
    root = np.arange(len(starts))
    while len(above):
        roots = np.stack((root[above], root[below]))
        root[roots.max(axis=0)] = roots.min(axis=0)  # of several, one is enough: the others come in the next round
        while (root[root] != root).any():
            root = root[root]
        apart = root[above] != root[below]
        above, below = above[apart], below[apart]
    steps = np.zeros(framed.size, np.int64)
    steps[starts], steps[ends] = root + 1, -root - 1
    return np.cumsum(steps).reshape(framed.shape)[:, :-1]
