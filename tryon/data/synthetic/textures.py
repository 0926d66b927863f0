"""Cloth patterns, prints and lettering, painted in the frame of the product photo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .garments import ARMHOLE_ROWS, FlatGarment, Garment, shoulder_line
from .person import Colour
from .raster import Array

Values = NDArray[np.floating]
Points = list[tuple[float, float]]


def paint(garment: Garment, flat: FlatGarment, height: int, width: int, supersample: int) -> NDArray[np.uint8]:
    """Colour of the cloth at every sample of the product photo.

    The whole frame is painted, so that samples beside the garment's edge have its colours too.

    Returns:
        (supersample height) × (supersample width) × 3.
    """
    scale = flat.scale * supersample
    origin = flat.origin * supersample + (supersample - 1) / 2

    def place(points: Array) -> Points:
        return [(float(px), float(py)) for px, py in points * scale + origin]

    y, x = np.mgrid[0 : height * supersample, 0 : width * supersample].astype(np.float32)
    x, y = (x - origin[0]) / scale, (y - origin[1]) / scale
    piece = _pieces(flat, place, x.shape)
    for index, sleeve in enumerate(flat.sheets[1:], start=1):
        on_sleeve = piece == index
        x[on_sleeve], y[on_sleeve] = _along_sleeve(sleeve, x[on_sleeve], y[on_sleeve])
    pattern = _pattern(garment, x, y)
    if garment.contrast_sleeves:
        pattern[piece > 0] = 1
    image = Image.fromarray(np.array([garment.colour, garment.second, garment.third], dtype=np.uint8)[pattern])
    draw = ImageDraw.Draw(image)
    if garment.pattern == "print":
        _print(draw, garment, place)
    if garment.pattern == "lettering":
        _letter(image, garment, scale, origin)
    _trim(draw, garment, flat, place, scale)
    if garment.neckline == "polo":
        _collar(draw, garment, place, scale)
    return np.asarray(image)


def _outline(sheet: Array) -> Array:
    """Border of a sheet, once round."""
    return np.concatenate([sheet[0], sheet[1:, -1], sheet[-1, -2::-1], sheet[-2:0:-1, 0]])


def _pieces(flat: FlatGarment, place: Callable[[Array], Points], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Index of the sheet at every sample; sleeves reach a little past their outer edges."""
    image = Image.new("L", (shape[1], shape[0]))
    draw = ImageDraw.Draw(image)
    for index, sleeve in enumerate(flat.sheets[1:], start=1):
        outline = place(_outline(sleeve))
        draw.polygon(outline, fill=index)
        draw.line([*outline, outline[0]], fill=index, width=5)
    draw.polygon(place(_outline(flat.sheets[0])), fill=0)
    return np.asarray(image)


def _along_sleeve(sleeve: Array, x: Values, y: Values) -> tuple[Values, Values]:
    """Places on a sleeve in a frame whose y axis runs down the sleeve; it continues the torso's at the shoulder."""
    start, end = sleeve[0].mean(axis=0), sleeve[-1].mean(axis=0)
    down = (end - start) / np.linalg.norm(end - start)
    dx, dy = x - start[0], y - start[1]
    return start[0] + dx * down[1] - dy * down[0], start[1] + dx * down[0] + dy * down[1]


def _pattern(garment: Garment, x: Values, y: Values) -> NDArray[np.uint8]:
    """Which of the garment's colours lies at a place, in garment units."""
    period = 2 * garment.chest * garment.pattern_size
    phase = garment.pattern_phase
    kind = garment.pattern
    if kind == "horizontal":
        return ((y / period + phase) % 1 < 0.5).astype(np.uint8)
    if kind == "vertical":
        return ((x / period + phase) % 1 < 0.5).astype(np.uint8)
    if kind == "diagonal":
        return (((x + y) / (1.41 * period) + phase) % 1 < 0.5).astype(np.uint8)
    if kind == "checks":
        across, down = (x / period + phase) % 1 < 0.5, (y / period) % 1 < 0.5
        return across.astype(np.uint8) + down.astype(np.uint8)
    if kind == "dots":
        row = np.floor(y / (0.87 * period))
        dx = (x / period + 0.5 * (row % 2) + phase) % 1 - 0.5
        dy = 0.87 * (y / (0.87 * period) - row - 0.5)
        return (dx**2 + dy**2 < 0.075).astype(np.uint8)
    if kind == "blocks":
        boundary = 40 + 50 * phase
        band = 6 + 60 * garment.pattern_size
        return (y > boundary).astype(np.uint8) + (y > boundary + band).astype(np.uint8)
    return np.zeros(x.shape, dtype=np.uint8)


def _star(points: int, inner: float) -> Array:
    turn = np.arange(2 * points) * np.pi / points
    radius = np.where(np.arange(2 * points) % 2 == 0, 1.0, inner)
    return np.stack([radius * np.sin(turn), -radius * np.cos(turn)], axis=1)


def _print(draw: ImageDraw.ImageDraw, garment: Garment, place: Callable[[Array], Points]) -> None:
    centre = np.array([0.0, 62.0])
    size = garment.chest * (0.36 + 0.9 * garment.pattern_size)

    def fill(points: Array, colour: Colour) -> None:
        draw.polygon(place(centre + size * points), fill=colour)

    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    disc = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    heart = np.stack([16 * np.sin(turn) ** 3, -13 * np.cos(turn) + 5 * np.cos(2 * turn) + 2 * np.cos(3 * turn)], axis=1)
    if garment.shape == "disc":
        fill(disc, garment.second)
        fill(0.55 * disc, garment.third)
    elif garment.shape == "star":
        fill(_star(5, 0.42), garment.second)
    elif garment.shape == "diamond":
        fill(_star(2, 0.7071)[::1] * [0.8, 1.1], garment.second)
        fill(0.5 * _star(2, 0.7071) * [0.8, 1.1], garment.third)
    elif garment.shape == "heart":
        fill(heart / 16, garment.second)
    elif garment.shape == "rings":
        for radius, colour in ((1.0, garment.second), (0.75, garment.colour), (0.5, garment.third)):
            fill(radius * disc, colour)
    else:
        band = np.array([[-4, -0.35], [4, -0.35], [4, 0.35], [-4, 0.35]])
        fill(band, garment.second)
        fill(band * [1, 0.4], garment.third)


def _letter(image: Image.Image, garment: Garment, scale: float, origin: Array) -> None:
    """Write the garment's word across the chest."""
    wide = 1.35 * garment.chest * scale
    font = ImageFont.load_default(size=100)
    left, top, right, bottom = font.getbbox(garment.word)
    word = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(word).text((4 - left, 4 - top), garment.word, fill=255, font=font, stroke_width=4)
    tall = min(word.height * wide / word.width, 34 * scale)
    word = word.resize((max(1, round(wide)), max(1, round(tall))))
    corner = (round(origin[0] - wide / 2), round(origin[1] + 58 * scale - tall / 2))
    image.paste(garment.second, corner, word)


def _trim(
    draw: ImageDraw.ImageDraw, garment: Garment, flat: FlatGarment, place: Callable[[Array], Points], scale: float
) -> None:
    """Neck band, cuffs and hem."""
    shade = tuple(int(0.82 * value) for value in garment.colour)
    colour = garment.second if garment.contrast_trim else shade
    torso = flat.sheets[0]
    inside = np.abs(torso[0, :, 0]) <= garment.neck + 1e-9
    draw.line(place(torso[0, inside]), fill=colour, width=max(1, round(5.5 * scale)), joint="curve")
    for sleeve in flat.sheets[1:]:
        draw.line(place(sleeve[-1]), fill=colour, width=max(1, round(4.5 * scale)))
        draw.line(place(sleeve[0]), fill=shade, width=max(1, round(0.9 * scale)))
    if not flat.sheets[1:]:
        for column in (0, -1):
            draw.line(place(torso[:ARMHOLE_ROWS, column]), fill=colour, width=max(1, round(3 * scale)))


def _collar(draw: ImageDraw.ImageDraw, garment: Garment, place: Callable[[Array], Points], scale: float) -> None:
    """A turned-down collar and a buttoned placket."""
    neck = garment.neck
    side, middle = shoulder_line(neck), shoulder_line(neck) + garment.neck_depth
    colour = garment.second if garment.contrast_trim else garment.colour
    edge = tuple(int(0.7 * value) for value in colour)
    line = max(1, round(0.9 * scale))
    placket = np.array([[-3.2, middle], [3.2, middle], [3.2, middle + 30], [-3.2, middle + 30]])
    draw.polygon(place(placket), fill=colour)
    draw.line(place(placket[[0, 3, 2, 1]]), fill=edge, width=line)
    for button in (11, 19, 27):
        low, high = place(np.array([[-1.3, middle + button - 1.3], [1.3, middle + button + 1.3]]))
        draw.ellipse([low, high], fill=(244, 242, 236))
    for outward in (-1.0, 1.0):
        x = outward * np.array([neck, 0.72 * neck, 0.4 * neck, 0, 0.62 * neck, neck + 4.5])
        rise = garment.neck_depth * np.sqrt(1 - np.array([1, 0.72, 0.4, 0]) ** 2)
        y = np.concatenate([side + rise, [middle + 12.5, middle + 4]])
        flap = np.stack([x, y], axis=1)
        draw.polygon(place(flap), fill=colour)
        draw.line(place(flap[[3, 4, 5, 0]]), fill=edge, width=line)
