from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tryon.data.layouts import rearranged
from tryon.data.check import Finding, FolderCheck
from tryon.data.duplicates import difference_hash, near_duplicates
from tryon.errors import InputError


@pytest.fixture
def data(drawn_data: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(drawn_data, tmp_path / "data"))


def findings(root: Path, **options: object) -> list[Finding]:
    check = FolderCheck(root, **options)
    check.run()
    assert check.faults == sum(finding.stops for finding in check.findings)
    return check.findings


@pytest.mark.parametrize("name", list(rearranged.LAYOUTS))
def test_nothing_is_wrong_with_drawn_people_in_any_layout(drawn_data: Path, tmp_path: Path, name: str) -> None:
    check = FolderCheck(rearranged.LAYOUTS[name](drawn_data, tmp_path / "data"))
    read = []
    check.run(read.append)
    assert check.layout == name
    assert check.findings == []
    assert sum(read) == check.files == (4 if name == "street-tryon" else 14)


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def resize(path: Path) -> None:
    Image.open(path).resize((48, 64), Image.Resampling.NEAREST).save(path)


def changed(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        pixels = np.array(Image.open(path))
        change(pixels)
        Image.fromarray(pixels).save(path)

    return apply


def empty(pixels: np.ndarray) -> None:
    pixels[:] = 0


def full(pixels: np.ndarray) -> None:
    pixels[:] = 255


def invert(pixels: np.ndarray) -> None:
    pixels[:] = 255 - pixels


def to_the_top(pixels: np.ndarray) -> None:
    pixels[0, 20:40] = 255


def unknown_label(pixels: np.ndarray) -> None:
    pixels[3, 3] = 14


def move_out(path: Path) -> None:
    content = json.loads(path.read_text())
    content["people"][0]["pose_keypoints"][:6] = [70.0, 30.0, 1.0, 30.0, 70.0, 1.0]
    path.write_text(json.dumps(content))


def nobody(path: Path) -> None:
    path.write_text('{"people": []}')


def strange_pair(path: Path) -> None:
    path.write_text(path.read_text() + "000000_0.png 000009_1.png\n")


POSE = "train_pose/000001_0_keypoints.json"


@pytest.mark.parametrize(
    ("file", "damage", "kind", "found", "stops"),
    [
        ("train_img/000001_0.png", truncate, "photo", "cannot be read as an image", True),
        ("train_color/000001_1.png", truncate, "garment", "cannot be read as an image", True),
        ("train_label/000001_0.png", truncate, "parsing", "cannot be read as an image", True),
        ("train_densepose/000001_0.npy", truncate, "densepose", "cannot be read as a NumPy array", True),
        (POSE, truncate, "pose", "cannot be read as OpenPose keypoints", True),
        ("train_edge/000001_1.png", truncate, "mask", "cannot be read as an image", True),
        ("train_edge/000001_1.png", resize, "mask", "found 64x48, wanted 64x64 as its photo has", True),
        ("train_img/000001_0.png", resize, "photo", "found 64x48, wanted 64x64 as the first photo has", True),
        ("train_label/000001_0.png", resize, "parsing", "found 64x48, wanted 64x64 as its photo has", True),
        ("train_label/000001_0.png", changed(unknown_label), "parsing", "found label 14, wanted 0..13", True),
        ("train_label/000001_0.png", changed(empty), "parsing", "found no garment", False),
        ("train_edge/000001_1.png", changed(empty), "mask", "found no garment (0.0% of the photo is bright)", True),
        ("train_edge/000001_1.png", changed(full), "mask", "found the whole photo", True),
        ("train_edge/000001_1.png", changed(invert), "mask", "found a mask that is inverted", True),
        (
            "train_edge/000001_1.png",
            changed(to_the_top),
            "mask",
            "found a garment that touches the picture's top",
            False,
        ),
        (POSE, move_out, "pose", "keypoints outside the photo", False),
        (POSE, nobody, "pose", "found no keypoint", False),
        ("test_pairs_paired.txt:3", strange_pair, "pairs", "test_clothes: found no file of 000009", True),
    ],
)
def test_one_fault_is_one_finding_with_its_file(
    data: Path, file: str, damage: Callable[[Path], None], kind: str, found: str, stops: bool
) -> None:
    damage(data / file.partition(":")[0])
    (finding,) = findings(data)
    assert finding.split == file[: file.index("_")]
    assert finding.kind == kind
    assert finding.file == file
    assert found in finding.found
    assert "\n" not in finding.found
    assert str(data) not in finding.found
    assert finding.stops == stops


def test_a_file_without_its_partner_is_named(data: Path) -> None:
    remove(data / "train_pose" / "000001_0_keypoints.json")
    remove(data / "test_edge" / "000000_1.png")
    assert findings(data) == [
        Finding("train", "missing", "train_img/000001_0.png", "found no file for it in train_pose", True),
        Finding("test", "missing", "test_clothes/000000_1.png", "found no file for it in test_edge", True),
    ]


def test_of_test_people_only_what_is_there_is_checked_and_photos_may_be_of_any_size(data: Path) -> None:
    remove(data / "test_pose" / "000001_0_keypoints.json")
    remove(data / "test_label" / "000001_0.png")
    remove(data / "test_densepose" / "000001_0.npy")
    resize(data / "test_img" / "000001_0.png")
    assert findings(data) == []


def test_every_line_of_a_pair_list_is_looked_at(data: Path) -> None:
    (data / "test_pairs_paired.txt").write_text("a.png 000000_1.png\n000000_0.png 000001_1.png\nb.png c.png\n")
    assert [(finding.file, finding.found[-9:]) for finding in findings(data)] == [
        ("test_pairs_paired.txt:1", "file of a"),
        ("test_pairs_paired.txt:3", "file of b"),
        ("test_pairs_paired.txt:3", "file of c"),
    ]


def test_every_fault_of_a_person_is_found(data: Path) -> None:
    for file in ("train_label/000001_0.png", "train_pose/000001_0_keypoints.json", "train_densepose/000001_0.npy"):
        truncate(data / file)
    assert [finding.kind for finding in findings(data)] == ["parsing", "pose", "densepose"]


def test_a_folder_that_cannot_be_opened_does_not_hide_the_other_split(data: Path) -> None:
    shutil.rmtree(data / "train_edge")
    truncate(data / "test_img" / "000001_0.png")
    train, test = findings(data)
    assert (train.split, train.kind, train.stops) == ("train", "folder", True)
    assert "train_edge: no such folder" in train.found
    assert test.file == "test_img/000001_0.png"


def test_a_size_that_cannot_be_trained_at_is_found_and_one_that_is_given_resizes(data: Path) -> None:
    for path in data.glob("train_*/*.png"):
        resize(path)
    for path in (data / "train_densepose").iterdir():
        np.save(path, np.load(path)[:, :48])
    (finding,) = findings(data)
    assert (finding.split, finding.kind, finding.stops) == ("train", "size", True)
    assert "found 64x48, wanted multiples of 32" in finding.found
    assert findings(data, size=(64, 64)) == []


@pytest.mark.parametrize("quality", [95, 60])
def test_photos_that_train_and_test_share_are_found_though_they_were_saved_again(data: Path, quality: int) -> None:
    photo = Image.open(data / "train_img" / "000002_0.png")
    (data / "test_img" / "000001_0.png").unlink()
    photo.save(data / "test_img" / "000001_0.jpg", quality=quality)
    assert findings(data) == [
        Finding("test", "duplicate", "test_img/000001_0.jpg", "found nearly the photo of train_img/000002_0.png", False)
    ]


def test_a_mask_that_cannot_be_made_is_a_fault_of_its_garment(drawn_data: Path, tmp_path: Path) -> None:
    data = rearranged.as_dress_code(drawn_data, tmp_path / "data")
    shutil.rmtree(data / "upper_body" / "masks")
    path = data / "upper_body" / "images" / "000002_1.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    # There is a white shirt with coloured hems too, of which the white is not told from the background.
    (finding,) = [finding for finding in findings(data) if finding.split == "train"]
    assert (finding.kind, finding.file) == ("garment", "upper_body/images/000002_1.png")
    assert "found no plain background" in finding.found


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no data set"):
        FolderCheck(tmp_path)
    with pytest.raises(InputError, match="found no people of layout viton-hd"):
        FolderCheck(tmp_path, layout="viton-hd")


class TestRealPhotos:
    def test_only_a_garment_that_is_cut_off_is_to_be_looked_at(self, real_photos: Path) -> None:
        (finding,) = findings(real_photos)
        assert finding.file == "test_edge/002447_1.png"
        assert not finding.stops

    def test_a_photo_that_is_there_twice_is_found(self, real_photos: Path) -> None:
        # VITON has some persons' photos under two numbers; two of these ten are one.
        hashes = {path.name: difference_hash(Image.open(path)) for path in sorted((real_photos / "test_img").iterdir())}
        twice = [pair for pair in near_duplicates(hashes, hashes) if pair[0] < pair[1]]
        assert twice == [("003491_0.jpg", "019561_0.jpg")]
