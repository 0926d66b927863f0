"""The page's arithmetic of pictures beside Pillow's: the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tryon.page.calling import NEEDS_NODE, Call, called
from tryon.data.images import on_white

pytestmark = NEEDS_NODE


def noise(height: int, width: int, *channels: int) -> np.ndarray:
    """Bytes of all kinds, and half of them black or white, so that what is beyond either is cut off."""
    generator = np.random.default_rng(height * width)
    levels = generator.integers(-128, 384, (height, width, *channels))
    return levels.clip(0, 255).astype(np.uint8)


def assert_same(calls: list[Call], wanted: list[Image.Image], folder: Path) -> None:
    for call, found, image in zip(calls, called(calls, folder), wanted, strict=True):
        levels = np.asarray(image)
        np.testing.assert_array_equal(found, levels.reshape(*levels.shape[:2], -1), f"{call.picture.shape} {call.rest}")


def test_each_level_of_each_transparency_on_white_is_pillows(tmp_path: Path) -> None:
    level, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    image = np.stack([level, 255 - level, level, alpha], axis=2)
    assert_same([Call("pictures", "onWhite", image)], [on_white(Image.fromarray(image))], tmp_path)


def test_pictures_reduced_by_any_whole_number_are_pillows(tmp_path: Path) -> None:
    cases = [(noise(*size, 3), factor) for factor in range(2, 13) for size in ((24, 36), (25, 13), (11, 40))]
    calls = [Call("pictures", "reduced", image, (factor,)) for image, factor in cases]
    assert_same(calls, [Image.fromarray(image).reduce(factor) for image, factor in cases], tmp_path)


def resized(image: np.ndarray, height: int, width: int) -> Image.Image:
    """By Pillow, rows first: as it does but where heights are reduced much more than widths."""
    wide = Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BICUBIC)
    return wide.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colours"])
def test_pictures_of_another_size_are_pillows(channels: tuple[int, ...], tmp_path: Path) -> None:
    sides = (1, 2, 16, 31, 50, 64, 101)
    cases = [(noise(40, 31, *channels), (height, width)) for height in sides for width in sides]
    calls = [Call("pictures", "resized", image, (size,)) for image, size in cases]
    assert_same(calls, [resized(image, *size) for image, size in cases], tmp_path)
