"""Light, cloth folds and the details of faces, hair and hands, as functions of the place on a surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .person import Colour, Person
from .skeleton import HEAD_HEIGHT, HEAD_WIDTH

Values = NDArray[np.floating]

GARMENT_SHADE = (0.45, 1.2)
"""Least and greatest factor between the cloth's colour and a garment's pixel, in both kinds of photo."""


def round_shade(across: Values, light: float) -> Values:
    """Brightness of a round surface; `light` is the side the light comes from, -1 (left) to 1."""
    return 1.05 - 0.27 * across**2 + 0.13 * light * across


def folds(seed: int, x: Values, y: Values) -> Values:
    """Creases of cloth hanging along y, about -1 to 1: a few warped waves with sharper valleys than ridges.

    Args:
        seed: chooses the waves.
        x: across, 1 being about a garment's half width.
        y: along, in the same unit.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros_like(x)
    for weight in (1.0, 0.8, 0.6):
        frequency, slant = rng.uniform(0.5, 1.3), rng.normal(0, 0.35)
        phase, sway = rng.uniform(0, 2 * np.pi, 2).tolist()
        wave = np.sin(2 * np.pi * frequency * (x + slant * y) + phase + 0.8 * np.sin(1.7 * y + sway))
        fade = 0.6 + 0.4 * np.sin(1.3 * y + phase)
        total += weight * fade * (1 - 2 * np.sqrt(0.5 - 0.499 * wave))
    return 0.45 * total


def blurred(values: Values, radius: float) -> Values:
    """An H × W picture of values from 0 to 1, blurred over about `radius` pixels."""
    levels = Image.fromarray((255 * values + 0.5).astype(np.uint8))
    soft = levels.filter(ImageFilter.BoxBlur(radius)).filter(ImageFilter.BoxBlur(radius))
    return np.asarray(soft, dtype=np.float32) / 255


def backdrop(person: Person, coverage: Values, unit: float) -> Values:
    """The wall behind a person, with their soft shadow; H × W × 3.

    Args:
        person: whose photo it is.
        coverage: H × W, 1 where the person is.
        unit: pixels in one body unit.
    """
    height, width = coverage.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height)
    wall = np.asarray(person.wall, dtype=np.float32)
    shade = 1 + 0.06 * person.light * (x - 0.4)
    if person.backdrop == "gradient":
        shade = shade * (1.04 - 0.2 * y)
    if person.backdrop == "room":
        skirting = 0.84 + 0.1 * person.wall_detail
        floor = y > skirting
        shade = shade * np.where(floor, 0.8 - 0.25 * (y - skirting), 1.0)
        shade = shade * np.where(np.abs(y - skirting) < 0.008, 0.9, 1.0)
        panel = np.abs((x / 0.75 - person.wall_detail) * 2.4 % 2 - 1) < 0.02
        shade = shade * np.where(panel & ~floor, 0.93, 1.0)
    shadow = np.roll(blurred(coverage, 9 * unit), round(-10 * person.light * unit), axis=1)
    return wall * (shade * (1 - 0.22 * shadow)).astype(np.float32)[..., None]


def _spot(x: Values, y: Values, at: tuple[float, float], radii: tuple[float, float], softness: float = 0.35) -> Values:
    """1 inside an ellipse on the head, 0 outside, with a soft border."""
    r = np.sqrt(((x - at[0]) / radii[0]) ** 2 + ((y - at[1]) / radii[1]) ** 2)
    return np.clip((1 - r) / softness + 0.5, 0, 1)


def paint_face(person: Person, colour: Values, x: Values, y: Values) -> Values:
    """Skin colour with the features of a face; x and y are half widths and half heights from the head's middle."""
    x = x - 0.1 * person.head_turn * (1 - x**2)
    skin = np.asarray(person.skin, dtype=np.float32)
    brow = np.asarray(person.hair, dtype=np.float32)
    lips = np.asarray(person.lips, dtype=np.float32)
    blush = skin * np.array([1.0, 0.78, 0.74], dtype=np.float32)
    aspect = HEAD_WIDTH / HEAD_HEIGHT

    def blend(target: Values | Colour, weight: Values) -> None:
        colour[:] += (np.asarray(target, dtype=np.float32) - colour) * weight[:, None]

    def dark(tone: Values, factor: float) -> Values:
        return tone * np.float32(factor)

    side = np.abs(x)
    blend(blush, 0.45 * np.exp(-(((side - 0.55) / 0.24) ** 2) - ((y - 0.3) / 0.2) ** 2))
    blend(dark(skin, 0.72), 0.5 * np.exp(-(((side - 0.37) / 0.22) ** 2) - ((y + 0.12) / 0.1) ** 2))
    nose_side = x + 0.09 * np.sign(person.light + 1e-6)
    blend(dark(skin, 0.76), 0.55 * np.exp(-((nose_side / 0.07) ** 2)) * _spot(x, y, (0, 0.1), (0.4, 0.28)))
    blend(dark(skin, 0.7), 0.6 * np.exp(-((x / 0.17) ** 2) - ((y - 0.35) / 0.035) ** 2))
    blend(dark(skin, 0.45), _spot(side, y, (0.08, 0.325), (0.045, 0.025), 0.8))
    blend(dark(skin, 0.8), 0.6 * np.exp(-((x / 0.2) ** 2) - ((y - 0.74) / 0.04) ** 2))
    eye_y = y + 0.03 * (side - 0.37)
    blend((242, 240, 236), _spot(side, eye_y, (0.37, -0.1), (0.17, 0.062), 0.5))
    blend(person.iris, _spot(side, eye_y, (0.37, -0.105), (0.08, 0.08 * aspect), 0.4))
    blend((16, 12, 12), _spot(side, eye_y, (0.37, -0.105), (0.04, 0.04 * aspect), 0.6))
    lash = eye_y + 0.158 - 1.6 * (side - 0.37) ** 2
    blend((28, 20, 18), 0.85 * np.exp(-((lash / 0.02) ** 2)) * _spot(side, y, (0.37, -0.12), (0.21, 0.12), 0.2))
    arch = y + 0.31 - 0.9 * (side - 0.4) ** 2
    blend(dark(brow, 0.7), 0.75 * np.exp(-((arch / 0.032) ** 2)) * _spot(side, y, (0.38, -0.28), (0.24, 0.2), 0.25))
    mouth_y = y - 0.57 + 0.5 * person.smile * (x**2 - 0.04)
    blend(lips, 0.85 * _spot(x, mouth_y, (0, 0), (0.27, 0.085), 0.4))
    blend(dark(lips, 0.55), 0.8 * np.exp(-((mouth_y / 0.016) ** 2)) * _spot(x, mouth_y, (0, 0), (0.27, 0.2), 0.25))
    return colour


def hair_shade(across: Values, along: Values) -> Values:
    """Strands and the shine on hair."""
    strands = 0.09 * np.sin(23 * across + 3 * along) + 0.06 * np.sin(51 * across - 2 * along)
    return 0.95 + strands + 0.22 * np.exp(-(((along - 0.35) / 0.16) ** 2)) * (1 - across**2)


def hand_shade(across: Values, along: Values) -> Values:
    """Lines between the fingers."""
    between = np.exp(-(((across * 2) % 1 - 0.5) ** 2) / 0.02) * (np.abs(across) < 0.8)
    return 1 - 0.28 * between * np.clip((along - 0.52) * 8, 0, 1)


def waist_shade(across: Values, along: Values) -> Values:
    """Waistband, its seam and the middle seam of trousers and skirts."""
    seam = 0.22 * np.exp(-(((along - 0.16) / 0.018) ** 2)) + 0.12 * (along < 0.14)
    return 1 - seam - 0.16 * np.exp(-((across / 0.03) ** 2)) * (along > 0.16)
