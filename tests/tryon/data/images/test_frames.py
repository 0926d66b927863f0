from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tryon.data.images.frames import cut, frame_of_garment, frame_of_person, put_back

SIZE = (256, 192)


@pytest.mark.parametrize("size", [(192, 256), (300, 400), (305, 400), (1, 1)])
def test_a_photo_of_the_proportions_is_its_own_frame(size: tuple[int, int]) -> None:
    proportions = SIZE if size != (1, 1) else (64, 64)
    assert frame_of_person(Image.new("RGB", size), proportions) == (0, 0, *size)


def test_a_wide_photo_is_framed_in_its_middle_and_a_narrow_one_beyond_its_sides() -> None:
    assert frame_of_person(Image.new("RGB", (640, 400)), SIZE) == (170, 0, 470, 400)
    assert frame_of_person(Image.new("RGB", (200, 400)), SIZE) == (-50, 0, 250, 400)


def test_a_product_photo_is_framed_around_the_garment_which_fills_it_as_in_published_sets() -> None:
    mask = Image.new("L", (500, 300))
    mask.paste(255, (200, 100, 295, 150))  # wide: 95 pixels are 0.95 of the width
    left, top, right, bottom = frame_of_garment(mask, SIZE)
    assert (right - left, bottom - top) == (100, 133)
    assert abs((left + right) / 2 - 247.5) <= 0.5
    assert abs((top + bottom) / 2 - 125) <= 0.5
    mask = Image.new("L", (300, 300))
    mask.paste(255, (100, 0, 160, 190))  # long, and at the border
    left, top, right, bottom = frame_of_garment(mask, SIZE)
    assert (left, top, right, bottom) == (55, -5, 205, 195)


def test_beyond_a_photo_its_border_goes_on() -> None:
    photo = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    wanted = [[0, 0, 1], [0, 0, 1], [4, 4, 5]]
    assert np.asarray(cut(photo, (-1, -1, 2, 2))).tolist() == wanted


@pytest.mark.parametrize("frame", [(0, 0, 6, 4), (2, 0, 5, 4), (-3, 0, 9, 4)])
def test_what_is_put_back_is_seen_where_it_was_cut_and_nowhere_else(frame: tuple[int, int, int, int]) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8))
    piece = cut(photo, frame)
    assert put_back(piece, photo, frame).tobytes() == photo.tobytes()
    changed = np.asarray(put_back(Image.new("RGB", piece.size, (255, 0, 0)), photo, frame))
    inside = np.zeros((4, 6), bool)
    inside[:, max(0, frame[0]) : frame[2]] = True
    assert (changed[inside] == (255, 0, 0)).all()
    assert (changed[~inside] == np.asarray(photo)[~inside]).all()
