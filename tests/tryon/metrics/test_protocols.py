from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tryon.errors import InputError
from tryon.metrics import PROTOCOLS


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


PICTURE, TRUTH = noise(48, 64, seed=1), noise(96, 128, seed=2)
PNG, JPEG = Path("truth.png"), Path("truth.JPG")


def jpeg(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=75)
    return Image.open(file)


def test_ours_resizes_the_picture_to_its_truth() -> None:
    picture, truth = PROTOCOLS["own"].pair(PICTURE, TRUTH, JPEG)
    assert truth is TRUTH
    assert picture.tobytes() == PICTURE.resize((96, 128), Image.Resampling.BICUBIC).tobytes()


@pytest.mark.parametrize("name", ["catvton", "leffa"])
def test_catvton_and_leffa_resize_the_truth_to_its_picture(name: str) -> None:
    picture, truth = PROTOCOLS[name].pair(PICTURE, TRUTH, PNG)
    assert picture is PICTURE
    assert truth.tobytes() == TRUTH.resize((48, 64), Image.Resampling.LANCZOS).tobytes()


@pytest.mark.parametrize("name", ["catvton", "leffa"])
def test_a_jpeg_truth_is_written_anew_where_it_is_resized_and_only_there(name: str) -> None:
    protocol = PROTOCOLS[name]
    _, truth = protocol.pair(PICTURE, TRUTH, JPEG)
    assert truth.tobytes() == jpeg(TRUTH.resize((48, 64), Image.Resampling.LANCZOS)).tobytes()
    assert protocol.pair(TRUTH, TRUTH, JPEG)[1] is TRUTH


def test_ladi_resizes_both_to_512_by_384() -> None:
    for image, resized in zip((PICTURE, TRUTH), PROTOCOLS["ladi"].pair(PICTURE, TRUTH, JPEG), strict=True):
        assert resized.tobytes() == image.resize((384, 512), Image.Resampling.BILINEAR).tobytes()


def test_leffa_stretches_where_catvton_keeps_proportions_and_refuses() -> None:
    wide = noise(100, 128)
    assert PROTOCOLS["leffa"].pair(PICTURE, wide, PNG)[1].size == PICTURE.size
    with pytest.raises(InputError, match=r"truth.png: protocol catvton makes it 64x50, wanted 64x48"):
        PROTOCOLS["catvton"].pair(PICTURE, wide, PNG)


@pytest.mark.parametrize(("name", "resized"), [("own", False), ("catvton", True), ("leffa", True), ("ladi", False)])
def test_fid_sees_the_photos_of_catvton_and_leffa_resized_and_written_anew(name: str, resized: bool) -> None:
    wanted = jpeg(TRUTH.resize((48, 64), Image.Resampling.LANCZOS)) if resized else TRUTH
    assert PROTOCOLS[name].photo(TRUTH, JPEG, (64, 48)).tobytes() == wanted.tobytes()
