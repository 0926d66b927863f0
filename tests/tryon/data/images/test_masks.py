from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tryon.data.images import open_mask
from tryon.errors import InputError

WANTED = np.zeros((40, 30), np.uint8)
WANTED[10:30, 5:20] = 255  # no turn or reflection leaves it as it is


def palette(image: Image.Image, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(np.asarray(image) // 255).convert("P")
    image.putpalette([level for colour in colours for level in colour])
    return image


def cut_out() -> Image.Image:
    """A dark garment on nothing: what is saved where a product photo's background is removed."""
    image = Image.new("RGBA", (30, 40), (20, 30, 40, 255))
    image.putalpha(Image.fromarray(WANTED))
    return image


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("grey.png", Image.fromarray(WANTED)),
        ("bits.png", Image.fromarray(WANTED).convert("1")),
        ("ones.png", Image.fromarray(WANTED // 255)),
        ("colours.png", Image.fromarray(WANTED).convert("RGB")),
        ("opaque.png", Image.fromarray(WANTED).convert("RGBA")),
        ("palette.png", palette(Image.fromarray(WANTED), (0, 0, 0), (128, 0, 0))),
        ("palette_of_ones.png", palette(Image.fromarray(WANTED), (0, 0, 0), (1, 1, 1))),
        ("deep.png", Image.fromarray(WANTED.astype(np.uint16) * 257)),
        ("deep_ones.png", Image.fromarray((WANTED // 255).astype(np.uint16))),
        ("whole_numbers.tif", Image.fromarray((WANTED // 255).astype(np.int32))),
        ("floats.tif", Image.fromarray((WANTED / 255).astype(np.float32))),
        ("cut_out.png", cut_out()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mask_is_what_it_looks_like_however_it_is_stored(tmp_path: Path, name: str, mask: Image.Image) -> None:
    mask.save(tmp_path / name)
    opened = open_mask(tmp_path / name)
    assert opened.mode == "L"
    np.testing.assert_array_equal(np.asarray(opened), WANTED)


@pytest.mark.parametrize("deep", [False, True])
def test_a_mask_is_upright_as_its_photo_is(tmp_path: Path, deep: bool) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.rot90(WANTED)  # to be turned clockwise
    mask = Image.fromarray(stored.astype(np.uint16) * 257 if deep else np.ascontiguousarray(stored))
    mask.save(tmp_path / "mask.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(open_mask(tmp_path / "mask.png")), WANTED)


def test_soft_edges_keep_their_levels(tmp_path: Path) -> None:
    levels = np.array([[0, 50, 127, 128, 255]], np.uint8)
    Image.fromarray(levels).save(tmp_path / "soft.png")
    np.testing.assert_array_equal(np.asarray(open_mask(tmp_path / "soft.png")), levels)


def test_levels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "mask.tif")
    with pytest.raises(InputError, match=r"mask\.tif: found a level of nan, wanted a grey mask of finite numbers"):
        open_mask(tmp_path / "mask.tif")
