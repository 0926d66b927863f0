from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon import InputError, TryOn
from tryon.app import dressing
from tryon.app.dressing import MOST_GARMENTS, MOST_SIDE, Look, dress_in_each, open_upload, show_mask
from tryon.app.examples import draw_examples
from tryon.app.pictures import SHOWN_HEIGHT, corrected_mask, flow_picture, is_painted, veiled
from tryon.cli import main
from tryon.data.images import open_image
from tryon.models import Warped
from tryon.networks.flow import AppearanceFlow, map_of_offset

ADDED, REMOVED = (16, 185, 129, 150), (239, 68, 68, 150)


@pytest.fixture(scope="module")
def student(tiny_run: Path) -> TryOn:
    return TryOn.load(tiny_run / "student", precision="fp32")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    return draw_examples(tmp_path_factory.mktemp("examples"), (64, 48))


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A garment whose background is not plain."""
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)).save(path)
    return path


def test_a_person_in_several_garments_is_what_dressing_them_one_by_one_gives(
    student: TryOn, drawn: tuple[list[Path], list[Path]]
) -> None:
    people, garments = drawn
    person = open_upload(people[0], "person")
    looks = list(dress_in_each(student, person, [(path.name, path) for path in garments[:2]], None))
    for look, path in zip(looks, garments, strict=False):
        assert isinstance(look, Look)
        assert look.image.tobytes() == student.dress(open_image(people[0]), open_image(path)).tobytes()
        assert look.warp.height == look.flow.height == SHOWN_HEIGHT


def test_one_garment_that_cannot_be_worn_leaves_the_others(
    student: TryOn, drawn: tuple[list[Path], list[Path]], noise: Path
) -> None:
    people, garments = drawn
    chosen = [("garment 1", noise), ("garment 2", garments[0])]
    refusal, look = dress_in_each(student, open_upload(people[0], "person"), chosen, None)
    assert str(refusal).startswith("garment 1: found no plain background")
    assert isinstance(look, Look)


def test_garments_beyond_the_most_and_beyond_the_time_are_refused(
    student: TryOn, drawn: tuple[list[Path], list[Path]], noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = open_upload(drawn[0][0], "person")
    many = [("garment", noise)] * (MOST_GARMENTS + 3)
    found = list(dress_in_each(student, person, many, None))
    assert len(found) == MOST_GARMENTS + 1
    assert "found 11, wanted at most 8" in str(found[-1])
    monkeypatch.setattr(dressing, "SECONDS", -1.0)
    (late,) = dress_in_each(student, person, many, None)
    assert "not begun" in str(late)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n and then nothing of a picture"])
def test_a_file_that_is_no_picture_is_refused_without_telling_where_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^person: cannot be read as an image") as refusal:
        open_upload(path, "person")
    assert str(tmp_path) not in str(refusal.value)


def test_no_file_at_all_is_refused() -> None:
    with pytest.raises(InputError, match=r"^person: found no photo"):
        open_upload(None, "person")


def test_large_photos_are_reduced_and_others_are_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("RGB", (2 * MOST_SIDE, MOST_SIDE)).save(path)
    assert open_upload(path, "person").size == (MOST_SIDE, MOST_SIDE // 2)
    Image.new("RGB", (640, 480)).save(path)
    assert open_upload(path, "person").size == (640, 480)


def test_strokes_add_to_a_mask_and_take_from_it_at_any_size() -> None:
    mask = Image.new("L", (40, 20))
    mask.paste(255, (10, 0, 30, 20))
    strokes = Image.new("RGBA", (20, 10))
    assert not is_painted(strokes)
    assert corrected_mask(mask, strokes).tobytes() == mask.tobytes()
    strokes.paste(ADDED, (0, 0, 2, 10))
    strokes.paste(REMOVED, (13, 0, 15, 10))
    assert is_painted(strokes)
    wanted = mask.copy()
    wanted.paste(255, (0, 0, 4, 20))
    wanted.paste(0, (26, 0, 30, 20))
    assert corrected_mask(mask, strokes).tobytes() == wanted.tobytes()


def test_a_garment_without_a_mask_can_be_given_one_by_painting(
    student: TryOn, drawn: tuple[list[Path], list[Path]], noise: Path
) -> None:
    _, mask, refusal = show_mask(noise, MOST_SIDE)
    assert mask.getextrema() == (0, 0)
    assert "no plain background" in str(refusal)
    strokes = Image.new("RGBA", (48, 64))
    strokes.paste(ADDED, (10, 10, 38, 54))
    (look,) = dress_in_each(student, open_upload(drawn[0][0], "person"), [("garment", noise)], strokes)
    assert isinstance(look, Look)
    by_hand = student.dress(open_image(drawn[0][0]), open_image(noise), corrected_mask(mask, strokes))
    assert look.image.tobytes() == by_hand.tobytes()


def test_painting_a_garment_away_is_refused(student: TryOn, drawn: tuple[list[Path], list[Path]]) -> None:
    strokes = Image.new("RGBA", (48, 64), REMOVED)
    (refusal,) = dress_in_each(student, open_upload(drawn[0][0], "person"), [("garment", drawn[1][0])], strokes)
    assert str(refusal).startswith("garment: the mask as you painted it: found no garment")


def test_what_is_not_garment_is_veiled() -> None:
    mask = Image.new("L", (4, 2))
    mask.paste(255, (0, 0, 2, 2))
    shown = veiled(Image.new("RGB", (4, 2), "white"), mask)
    assert shown.getpixel((0, 0)) == (255, 255, 255)
    assert max(shown.getpixel((3, 0))) < 220


def test_the_hue_of_a_flow_is_where_pixels_come_from_and_its_strength_how_far() -> None:
    def colour(x: float, y: float, covered: float = 1.0) -> np.ndarray:
        offset = torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1).repeat(1, 1, 64, 64)
        offset[:, :, :, 32:] *= 0.5
        mask = torch.full((1, 1, 64, 64), covered)
        flow = AppearanceFlow((), map_of_offset(offset))
        picture = flow_picture(Warped(flow, torch.zeros(1, 3, 64, 64), mask))
        return np.asarray(picture)[100, [100, 300]].astype(int)

    # 8 bits of hue are steps of 1.4 degrees, within which a channel changes by 6 of 255 levels.
    np.testing.assert_allclose(colour(4, 0), [[255, 0, 0], [255, 127, 127]], atol=6)
    np.testing.assert_allclose(colour(-4, 0), [[0, 255, 255], [127, 255, 255]], atol=6)
    np.testing.assert_allclose(colour(0, 4)[0], [127, 255, 0], atol=6)  # from below: a quarter of the circle further
    np.testing.assert_array_equal(colour(4, 0, covered=0.0), 255)


def test_examples_are_people_and_garments_that_they_do_not_wear(drawn: tuple[list[Path], list[Path]]) -> None:
    assert [len(paths) for paths in drawn] == [4, 4]
    assert {Image.open(path).size for paths in drawn for path in paths} == {(48, 64)}


@pytest.mark.extras
def test_an_address_that_cannot_be_listened_at_is_refused(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed: make extras")
    assert main(["app", "--weights", str(tiny_run / "student"), "--host", "203.0.113.1", "--port", "0"]) == 2
    assert "tryon: --host 203.0.113.1 --port 0: cannot be listened at" in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app", "--weights", str(tiny_run / "student"), "--port", "0"]) == 2
    assert "pip install tryon-kernels[app]" in capsys.readouterr().err
