from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.data.densepose import PALETTE, Form, read_densepose
from tryon.data.synthetic.scene import photograph, render
from tryon.data.synthetic.writer import draw_sample
from tryon.errors import InputError


@pytest.fixture(scope="module")
def parts() -> np.ndarray:
    """Part indices of a drawn person, 256 x 192."""
    sample = draw_sample(3, 0, 5)
    return render(sample.person, sample.garment, photograph(sample.garment, 256, 192)).densepose


@pytest.fixture
def iuv(parts: np.ndarray) -> np.ndarray:
    return np.stack([parts, *(np.where(parts > 0, np.uint8(value), np.uint8(0)) for value in (120, 230))], axis=-1)


def written(pixels: np.ndarray, path: Path, **options: int) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_arrays_and_pictures_of_one_channel_hold_part_indices(parts: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "parts.npy", parts)
    for path in (tmp_path / "parts.npy", written(parts, tmp_path / "parts.png")):
        found = read_densepose(path)
        assert found.dtype == torch.int64
        assert np.array_equal(found, parts)


def test_each_parts_colour_is_opencvs_parula() -> None:
    # What others have measured in VITON-HD's own files.
    assert [tuple(PALETTE[part]) for part in (2, 9, 15, 24)] == [
        (20, 80, 194),
        (6, 166, 198),
        (145, 191, 116),
        (249, 251, 14),
    ]


def test_colours_are_read_exactly_from_a_lossless_picture(tmp_path: Path) -> None:
    every_part = np.arange(25, dtype=np.uint8).reshape(5, 5).repeat(8, axis=0).repeat(8, axis=1)
    path = written(PALETTE[every_part], tmp_path / "parts.png")
    assert np.array_equal(read_densepose(path, Form.COLOURS), every_part)


def test_what_jpeg_blurs_between_colours_takes_the_part_beside_it(parts: np.ndarray, tmp_path: Path) -> None:
    pixels = PALETTE[parts]
    path = written(pixels, tmp_path / "parts.jpg", quality=75)
    blurred = np.asarray(Image.open(path)).astype(np.float32)
    nearest = ((blurred[:, :, None] - PALETTE.astype(np.float32)) ** 2).sum(axis=-1).argmin(axis=-1)
    wrong, naively_wrong = (np.count_nonzero(found != parts) for found in (read_densepose(path, Form.COLOURS), nearest))
    assert wrong < naively_wrong
    # Where all around is one part, it is that part: JPEG's blur reaches a block of 16 pixels.
    size = 16
    same = np.ones_like(parts[size:-size, size:-size], dtype=bool)
    for dy in range(-size, size + 1, 4):
        for dx in range(-size, size + 1, 4):
            moved = parts[size + dy : parts.shape[0] - size + dy, size + dx : parts.shape[1] - size + dx]
            same &= moved == parts[size:-size, size:-size]
    assert same.any()
    inner = read_densepose(path, Form.COLOURS).numpy()[size:-size, size:-size]
    assert np.array_equal(inner[same], parts[size:-size, size:-size][same])


@pytest.mark.parametrize("channels", [(0, 1, 2), (2, 1, 0)], ids=["as Pillow writes it", "as OpenCV writes it"])
def test_of_part_index_and_coordinates_the_index_is_taken(iuv: np.ndarray, tmp_path: Path, channels: tuple) -> None:
    path = written(iuv[:, :, channels], tmp_path / "iuv.png")
    assert np.array_equal(read_densepose(path, Form.IUV), iuv[:, :, 0])


class TestBadInputIsNamedInOneLine:
    def test_an_array_that_is_no_part_index(self, tmp_path: Path) -> None:
        path = tmp_path / "pose.npy"
        np.save(path, np.full((4, 4), 25))
        with pytest.raises(InputError, match=r"pose\.npy: found part 25, wanted 0\.\.24"):
            read_densepose(path)
        np.save(path, np.zeros((4, 4), np.float32))
        with pytest.raises(InputError, match="found float32"):
            read_densepose(path)
        np.savez(path.with_suffix(".npz"), parts=np.zeros((4, 4), int))
        path.with_suffix(".npz").replace(path)
        with pytest.raises(InputError, match=r"pose\.npy: cannot be read as a NumPy array"):
            read_densepose(path)

    def test_a_picture_of_other_colours(self, parts: np.ndarray, tmp_path: Path) -> None:
        path = written(PALETTE[parts][:, :, ::-1].copy(), tmp_path / "parts.png")
        with pytest.raises(InputError, match=r"parts\.png: found \d+% of the person in colours that no part has"):
            read_densepose(path, Form.COLOURS)

    def test_a_picture_without_an_index(self, parts: np.ndarray, tmp_path: Path) -> None:
        path = written(PALETTE[parts], tmp_path / "parts.png")
        with pytest.raises(InputError, match=r"parts\.png: found no channel of part indices \(0\.\.24\)"):
            read_densepose(path, Form.IUV)

    def test_a_picture_of_other_channels(self, parts: np.ndarray, tmp_path: Path) -> None:
        path = written(PALETTE[parts], tmp_path / "parts.png")
        with pytest.raises(InputError, match=r"found an image of mode RGB, wanted one channel of part indices$"):
            read_densepose(path)
        Image.open(path).convert("RGBA").save(path)
        with pytest.raises(
            InputError, match=r"found an image of mode RGBA, wanted one channel .*, or RGB: DensePose's"
        ):
            read_densepose(path, Form.COLOURS)
