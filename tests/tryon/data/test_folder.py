from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.data.folder import TryOnFolder, as_written, read_parsing
from tryon.data.labels import ATR, ATR_DRESSES, ATR_LOWER, LIP, VITON, LabelScheme, regions_of
from tryon.data.layouts import sample_id
from tryon.errors import InputError


@pytest.fixture
def copied_data(drawn_data: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(drawn_data, tmp_path / "data"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("000010_0.jpg", "000010"),
        ("000010_1.png", "000010"),
        ("000010_0_keypoints.json", "000010"),
        ("00006_00.jpg", "00006"),
        ("alice.png", "alice"),
        ("img_12.png", "img_12"),
        ("Zoe\u0308_1.jpg", "Zo\u00eb"),
    ],
)
def test_an_id_is_the_name_without_its_role(name: str, wanted: str) -> None:
    assert sample_id(name) == wanted


def test_a_training_sample_has_every_part_at_the_folders_size(drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "train")
    sample = folder.read_sample(folder.people[0], folder.people[1])
    assert folder.size == (64, 64)
    assert sample.person.photo.shape == sample.garment.image.shape == sample.other.image.shape == (3, 64, 64)
    assert sample.person.regions is not None
    assert sample.person.regions.garment.shape == sample.garment.mask.shape == (1, 64, 64)
    assert sample.person.keypoints is not None
    assert sample.person.keypoints.shape == (18, 3)
    assert sample.person.densepose is not None
    assert sample.person.densepose.shape == (64, 64)


def test_the_background_of_a_garment_is_mid_grey(drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "train")
    garment = folder.read_garment(folder.garments[0])
    assert 0 < garment.mask.mean() < 1
    assert (garment.image * (1 - garment.mask)).abs().max() == 0


def test_a_given_size_resizes_photos_labels_and_keypoints_together(drawn_data: Path) -> None:
    own, doubled = (TryOnFolder(drawn_data, "train", size) for size in (None, (128, 96)))
    small, large = own.read_person(own.people[0]), doubled.read_person(own.people[0])
    assert large.photo.shape == (3, 128, 96)
    assert small.keypoints is not None
    assert large.keypoints is not None
    torch.testing.assert_close(large.keypoints[:, :2], small.keypoints[:, :2] * torch.tensor([1.5, 2.0]))
    assert small.regions is not None
    assert large.regions is not None
    assert set(large.regions.garment.unique().tolist()) == {0.0, 1.0}
    # Nearest resizing keeps the share of every region up to one pixel along its outline.
    assert abs(large.regions.garment.mean() - small.regions.garment.mean()) < 0.02


def test_photos_and_masks_may_be_jpeg_or_png_in_one_folder(copied_data: Path) -> None:
    path = copied_data / "train_edge" / "000000_1.png"
    Image.open(path).convert("L").save(path.with_suffix(".jpg"), quality=95)
    path.unlink()
    folder = TryOnFolder(copied_data, "train")
    assert folder.mask_path("000000").suffix == ".jpg"
    assert set(folder.read_garment("000000").mask.unique().tolist()) == {0.0, 1.0}


def test_hidden_files_are_no_samples(copied_data: Path) -> None:
    people = TryOnFolder(copied_data, "train").people
    for name in ("train_img/._000001_0.png", "train_pose/._000001_0_keypoints.json", "train_edge/.thumbnail.png"):
        (copied_data / name).write_bytes(b"left by another system")
    assert TryOnFolder(copied_data, "train").people == people


def test_accents_may_be_written_in_two_ways_in_the_folders_of_one_split(copied_data: Path) -> None:
    for folder, name in (("train_img", "zo\u00eb_0.png"), ("train_color", "zoe\u0308_1.png")):
        first = sorted((copied_data / folder).iterdir())[0]
        first.rename(first.with_name(name))
    for folder in ("train_edge", "train_label", "train_densepose"):
        first = sorted((copied_data / folder).iterdir())[0]
        first.rename(first.with_name(f"zoe\u0308{first.suffix}"))
    pose = sorted((copied_data / "train_pose").iterdir())[0]
    pose.rename(pose.with_name("zoe\u0308_0_keypoints.json"))
    folder = TryOnFolder(copied_data, "train")
    assert folder.people[-1] == "zo\u00eb"
    assert folder.read_sample("zo\u00eb", folder.people[0]).person.keypoints is not None


def test_the_file_of_a_pair_is_found_however_its_accents_are_written(tmp_path: Path) -> None:
    (tmp_path / "zoe\u0308_0__001_1.png").touch()
    assert as_written(tmp_path / "zo\u00eb_0__001_1.png") == tmp_path / "zoe\u0308_0__001_1.png"
    for other in (tmp_path / "zo\u00eb_0__002_1.png", tmp_path / "no" / "zo\u00eb.png"):
        assert as_written(other) == other


def cut_out_garment(data: Path, split: str, folder: str) -> Path:
    """Give the first product photo of a split its mask as transparency, in the place of a file."""
    mask_path = sorted((data / f"{split}_edge").iterdir())[0]
    photo_path = data / folder / mask_path.name
    photo = Image.open(photo_path).convert("RGBA")
    photo.putalpha(Image.open(mask_path).convert("L"))
    photo.save(photo_path)
    mask_path.unlink()
    return photo_path


@pytest.mark.parametrize(("split", "photos"), [("train", "train_color"), ("test", "test_clothes")])
def test_a_product_photos_transparency_is_its_mask_where_there_is_no_other(
    copied_data: Path, drawn_data: Path, split: str, photos: str
) -> None:
    path = cut_out_garment(copied_data, split, photos)
    wanted, found = (TryOnFolder(data, split).read_garment("000000") for data in (drawn_data, copied_data))
    assert torch.equal(found.mask, wanted.mask)
    assert torch.equal(found.image, wanted.image)
    photo = Image.open(path)
    photo.putalpha(200)  # a veil over everything tells nothing of the garment
    photo.save(path)
    with pytest.raises(InputError, match=r"000000_1\.png: found no mask file and nothing transparent, wanted one of"):
        TryOnFolder(copied_data, split).read_garment("000000")
    photo.convert("RGB").save(path)
    with pytest.raises(InputError, match=rf"000000_1\.png: found no file for it in .*{split}_edge \(1 missing"):
        TryOnFolder(copied_data, split)


def test_where_all_product_photos_are_transparent_no_folder_of_masks_is_needed(copied_data: Path) -> None:
    for _ in range(2):
        cut_out_garment(copied_data, "test", "test_clothes")
    (copied_data / "test_edge").rmdir()
    folder = TryOnFolder(copied_data, "test")
    assert all(0 < folder.read_garment(garment).mask.mean() < 1 for garment in folder.garments)
    assert folder.mask_path("000000") == folder.garment_path("000000")


def test_densepose_is_optional(copied_data: Path) -> None:
    shutil.rmtree(copied_data / "train_densepose")
    folder = TryOnFolder(copied_data, "train")
    assert not folder.has_densepose
    assert folder.read_person(folder.people[0]).densepose is None


def test_the_parsing_folders_name_chooses_the_label_scheme(copied_data: Path) -> None:
    assert TryOnFolder(copied_data, "train").scheme == VITON
    (copied_data / "train_label").rename(copied_data / "train_label_lip")
    assert TryOnFolder(copied_data, "train").scheme == LIP


def test_labels_may_be_larger_or_smaller_than_their_photo_in_its_proportions(copied_data: Path) -> None:
    path = copied_data / "train_label" / "000001_0.png"
    whole = TryOnFolder(copied_data, "train").read_person("000001").regions
    Image.open(path).resize((128, 128), Image.Resampling.NEAREST).save(path)
    enlarged = TryOnFolder(copied_data, "train").read_person("000001").regions
    assert whole is not None
    assert enlarged is not None
    assert torch.equal(enlarged.garment, whole.garment)


@pytest.mark.parametrize(
    ("scheme", "garment", "face"),
    [
        (VITON, {4, 7}, {1, 12}),
        (LIP, {5, 6, 7}, {1, 2, 4, 13}),
        (ATR, {4, 7}, {1, 2, 3, 11}),
        (ATR_LOWER, {5, 6}, {1, 2, 3, 11}),
        (ATR_DRESSES, {7}, {1, 2, 3, 11}),
    ],
    ids=["viton", "lip", "atr", "atr, skirts and trousers", "atr, dresses"],
)
def test_regions_follow_the_scheme(scheme: LabelScheme, garment: set[int], face: set[int]) -> None:
    labels = torch.arange(scheme.highest + 1).reshape(1, -1)
    regions = regions_of(labels, scheme)
    assert set(labels[regions.garment[0] == 1].tolist()) == garment
    assert set(labels[regions.face[0] == 1].tolist()) == face
    covered = regions.garment + regions.face + regions.other_clothes + regions.arms
    assert covered.max() == 1  # no label belongs to two regions
    assert covered[0, 0, 0] == 0  # the background to none


class TestBadInputIsNamedInOneLine:
    def refused(self, data: Path, *words: str, split: str = "train") -> None:
        def read_everything() -> None:
            folder = TryOnFolder(data, split)
            for person in folder.people:
                folder.read_person(person)
            for garment in folder.garments:
                folder.read_garment(garment)

        with pytest.raises(InputError) as caught:
            read_everything()
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message

    def test_missing_folder(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "nowhere", "nowhere", "no such")

    def test_missing_sub_folder(self, copied_data: Path) -> None:
        shutil.rmtree(copied_data / "train_edge")
        self.refused(copied_data, "train_edge", "no such folder")

    def test_missing_parsing(self, copied_data: Path) -> None:
        shutil.rmtree(copied_data / "train_label")
        self.refused(copied_data, "train_label", "missing")

    def test_missing_file(self, copied_data: Path) -> None:
        (copied_data / "train_pose" / "000002_0_keypoints.json").unlink()
        self.refused(copied_data, "train_pose", "000002_0.png")

    def test_two_files_of_one_id(self, copied_data: Path) -> None:
        photo = copied_data / "train_img" / "000001_0.png"
        shutil.copy(photo, photo.with_suffix(".jpg"))
        self.refused(copied_data, "000001_0.jpg", "000001_0.png")

    def test_two_parsing_schemes(self, copied_data: Path) -> None:
        shutil.copytree(copied_data / "train_label", copied_data / "train_label_lip")
        self.refused(copied_data, "train_label", "train_label_lip")

    def test_damaged_photo(self, copied_data: Path) -> None:
        path = copied_data / "train_img" / "000001_0.png"
        path.write_bytes(path.read_bytes()[:100])
        self.refused(copied_data, "000001_0.png", "cannot be read")

    def test_photo_of_another_size(self, copied_data: Path) -> None:
        Image.new("RGB", (48, 64)).save(copied_data / "train_img" / "000001_0.png")
        self.refused(copied_data, "000001_0.png", "64x48", "64x64")

    def test_parsing_of_another_size(self, copied_data: Path) -> None:
        Image.new("L", (48, 64)).save(copied_data / "train_label" / "000001_0.png")
        self.refused(copied_data, "train_label", "64x48", "64x64")

    def test_label_value_out_of_the_scheme(self, tmp_path: Path) -> None:
        path = tmp_path / "label.png"
        Image.fromarray(np.full((4, 4), 14, np.uint8)).save(path)
        with pytest.raises(InputError, match=r"label\.png: found label 14, wanted 0\.\.13"):
            read_parsing(path, VITON)
        assert read_parsing(path, LIP).max() == 14

    def test_parsing_in_colour(self, tmp_path: Path) -> None:
        path = tmp_path / "label.png"
        Image.new("RGB", (4, 4)).save(path)
        with pytest.raises(InputError, match="mode RGB, wanted one channel"):
            read_parsing(path, VITON)


class TestRealPhotos:
    def test_the_labelled_people_are_read(self, real_photos: Path) -> None:
        folder = TryOnFolder(real_photos, "test")
        assert folder.size == (256, 192)
        assert folder.scheme == LIP
        assert not folder.has_densepose
        assert len(folder.people) == 10
        assert len(folder.labelled_people) == 7
        for name in folder.labelled_people:
            person = folder.read_person(name)
            assert person.regions is not None
            assert person.keypoints is not None
            assert 0.05 < person.regions.garment.mean() < 0.6
            assert person.regions.face.mean() > 0.01
            assert person.keypoints[:, 2].sum() >= 10

    def test_garments_and_their_masks_of_both_kinds_are_read(self, real_photos: Path) -> None:
        folder = TryOnFolder(real_photos, "test")
        assert {folder.mask_path(garment).suffix for garment in folder.garments} == {".jpg", ".png"}
        for name in folder.garments:
            assert 0.1 < folder.read_garment(name).mask.mean() < 0.9
