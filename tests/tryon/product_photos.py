"""Drawn product photos as they should not be: what makes a garment hard to tell from its background."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tryon.data.synthetic.scene import Product, photograph
from tryon.data.synthetic.writer import TRAIN, draw_sample

Photo = tuple[np.ndarray, np.ndarray]
"""H x W x 3 levels, and H x W bool, true on the garment."""

HEIGHT, WIDTH = 256, 192
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]


@cache
def _product() -> Product:
    return photograph(draw_sample(5, TRAIN, 0).garment, HEIGHT, WIDTH)


def garment() -> Photo:
    return _product().photo.copy(), _product().mask > 127


def jpeg(photo: np.ndarray, quality: int = 85) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def on(background: np.ndarray | float, photo: np.ndarray, mask: np.ndarray) -> Photo:
    """The garment on a background of grey levels (H x W, or one), its outline a little blurred as a lens does it."""
    cover = _blurred(mask, 0.6)
    levels = np.broadcast_to(np.asarray(background, np.float64)[..., None], photo.shape)
    return (photo * cover + levels * (1 - cover)).round().clip(0, 255).astype(np.uint8), mask


def shadow(darkness: float, blur: float, distance: int) -> np.ndarray:
    return 255 * (1 - darkness * _blurred(np.roll(garment()[1], (distance, distance), (0, 1)), blur)[..., 0])


def _blurred(mask: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image)[..., None] / 255


def whitened(lowest: float, noise: float, background: float) -> Photo:
    photo, mask = garment()
    grey = photo.mean(axis=2)
    share = (grey - grey[mask].min()) / np.ptp(grey[mask])
    photo, mask = on(background, np.repeat((lowest + 14 * share.clip(0, 1))[..., None], 3, 2), mask)
    noisy = photo + np.random.default_rng(0).normal(0, noise, (HEIGHT, WIDTH, 1))
    return jpeg(noisy.round().clip(0, 255).astype(np.uint8), 95), mask


def framed(thickness: int, level: int) -> Photo:
    photo, mask = garment()
    inside = slice(thickness, -thickness), slice(thickness, -thickness)
    frame, visible = np.full_like(photo, level), np.zeros_like(mask)
    frame[inside], visible[inside] = photo[inside], mask[inside]
    return jpeg(frame, 95), visible


def with_bars(rows: int, columns: int) -> Photo:
    photo, mask = garment()
    margins = (rows, rows), (columns, columns)
    return jpeg(np.pad(photo, (*margins, (0, 0)))), np.pad(mask, margins)


def cut_off(rows: slice, columns: slice) -> Photo:
    photo, mask = garment()
    return photo[rows, columns], mask[rows, columns]


def with_white_fold() -> Photo:
    photo, mask = garment()
    photo[mask & (abs(_X - WIDTH / 2) < 2) & (_Y > HEIGHT * 0.6)] = 255
    return photo, mask


def on_a_hanger() -> Photo:
    photo, mask = garment()
    image = Image.fromarray(photo)
    top = int(np.flatnonzero(mask[:, WIDTH // 2])[0])
    ImageDraw.Draw(image).line([(WIDTH // 2, top), (WIDTH // 2, top - 16)], fill=(90, 90, 90), width=2)
    return np.asarray(image), mask


def enlarged() -> Photo:
    photo, mask = garment()
    return photo.repeat(8, axis=0).repeat(8, axis=1), mask.repeat(8, axis=0).repeat(8, axis=1)


HARD: dict[str, tuple[Callable[[], Photo], int]] = {
    "JPEG of low quality": (lambda: (jpeg(garment()[0], 60), garment()[1]), 2),
    "a grey frame of one pixel": (lambda: framed(1, 180), 1),
    "a dark frame": (lambda: framed(8, 40), 3),
    "black bars above and below": (lambda: with_bars(32, 0), 1),
    "black bars left and right": (lambda: with_bars(0, 60), 1),
    "a vignette": (lambda: on(255 - 40 * (((_X - 96) / 96) ** 2 + ((_Y - 128) / 128) ** 2) / 2, *garment()), 1),
    "a floor lit from above": (lambda: on(255 - 0.1 * _Y, *garment()), 1),
    "a dark wall": (lambda: on(30, *garment()), 1),
    "a soft shadow": (lambda: on(shadow(0.35, blur=7, distance=7), *garment()), 2),
    "white on white": (lambda: whitened(lowest=238, noise=0, background=255), 1),
    "white on white with noise": (lambda: whitened(lowest=228, noise=1.5, background=250), 1),
    "a fold of the background's colour": (with_white_fold, 2),
    "a hanger's hook": (on_a_hanger, 1),
    "cut off below": (lambda: cut_off(slice(170), slice(None)), 1),
    "cut off on the left": (lambda: cut_off(slice(None), slice(40, None)), 1),
    "three megapixels": (enlarged, 8),
}
"""By what is hard: the photo, and by how many pixels its mask's outline may be off."""


def two_garments() -> np.ndarray:
    small = Image.fromarray(garment()[0]).resize((WIDTH // 2, HEIGHT // 2))
    both = Image.new("RGB", (WIDTH, HEIGHT), "white")
    both.paste(small, (0, 40))
    both.paste(small, (WIDTH // 2, 90))
    return np.asarray(both)


def filled_but_for_the_corners() -> np.ndarray:
    photo = np.full((HEIGHT, WIDTH, 3), (40, 60, 150), np.uint8)
    for rows in (slice(30), slice(-30, None)):
        for columns in (slice(25), slice(-25, None)):
            photo[rows, columns] = 255
    return photo


def close_up() -> np.ndarray:
    photo, mask = garment()
    rows, columns = np.nonzero(mask)
    middle, centre = int(rows.mean()), int(columns.mean())
    near = Image.fromarray(photo).crop((centre - 24, middle - 32, centre + 24, middle + 32))
    return jpeg(np.asarray(near.resize((WIDTH, HEIGHT))))


def close_up_of_a_stripe() -> np.ndarray:
    photo = np.full((HEIGHT, WIDTH, 3), (150, 200, 140), np.uint8)
    photo[abs(_X - WIDTH / 2 - 12 * np.sin(_Y / 20)) < 40] = (30, 100, 110)
    return photo


def before_a_busy_wall() -> np.ndarray:
    colours = np.random.default_rng(0).integers(0, 255, (16, 12), dtype=np.uint8)
    return on(np.asarray(Image.fromarray(colours).resize((WIDTH, HEIGHT))), *garment())[0]


REFUSED: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "two garments": (two_garments, "2 pieces of similar size, wanted one garment"),
    "a garment that fills all but the corners": (
        filled_but_for_the_corners,
        r"a garment that is cut off all around, or none \(2\d% of the border differs from its main colour\)",
    ),
    "a close-up of cloth": (
        close_up,
        r"no garment on the background \(\d\.\d% of the photo differs from it, wanted 3%\)",
    ),
    "a busy wall": (before_a_busy_wall, r"no plain background \(the border's colours differ by \d+ grey levels"),
    "a stripe of cloth close up": (
        close_up_of_a_stripe,
        r"a garment that is cut off on opposite sides, or a part of one \(\d\d% of both is garment\)",
    ),
    "noise in a frame": (
        lambda: np.pad(
            np.random.default_rng(0).integers(0, 255, (80, 60, 3)).astype(np.uint8), ((5, 5), (5, 5), (0, 0))
        ),
        "no plain background inside its frame",
    ),
}
"""By what is wrong: the photo, and what is found."""
