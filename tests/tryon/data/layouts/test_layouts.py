from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tryon.data.layouts import rearranged
from tryon.cli import main
from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.labels import ATR_DRESSES, ATR_LOWER
from tryon.data.layouts import LAYOUTS, recognition
from tryon.data.sample import Person
from tryon.engine import train_stage
from tryon.errors import InputError
from tryon.weights import ModelRecord, save_model

TRAINED_ON = ("viton-hd", "dress-code")
ROUNDING = {"rtol": 2.0**-20, "atol": 0}  # of keypoints that were scaled and scaled back in float32


@pytest.fixture(scope="session")
def laid_out(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The drawn data in a layout; tests only read it."""
    out = tmp_path_factory.mktemp("layouts")

    def folder(name: str) -> Path:
        return out / name if (out / name).exists() else rearranged.LAYOUTS[name](drawn_data, out / name)

    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tutor and a student with random weights."""
    out = tmp_path_factory.mktemp("untrained")
    for role, densepose in (("tutor", True), ("student", False)):
        record = ModelRecord(
            role, 1 / 16, (64, 64), densepose, True, label_scheme="viton", perceptual="none", stage=role, step=0
        )
        save_model(out / role, record.build(), record)
    return out


@pytest.fixture
def dress_code(drawn_data: Path, tmp_path: Path) -> Path:
    """A folder in Dress Code's layout that a test may change."""
    return rearranged.as_dress_code(drawn_data, tmp_path / "DressCode")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def same_person(found: Person, wanted: Person) -> None:
    assert torch.equal(found.photo, wanted.photo)
    assert found.regions is not None
    assert wanted.regions is not None
    for region in ("garment", "face", "other_clothes", "arms", "background"):
        assert torch.equal(getattr(found.regions, region), getattr(wanted.regions, region)), region
    torch.testing.assert_close(found.keypoints, wanted.keypoints, **ROUNDING)
    assert found.densepose is not None
    assert torch.equal(found.densepose, wanted.densepose)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", TRAINED_ON)
def test_the_same_people_in_another_layout_are_the_same_samples(
    laid_out: Callable[[str], Path], drawn_data: Path, name: str, split: str
) -> None:
    found, wanted = TryOnFolder(laid_out(name), split), TryOnFolder(drawn_data, split)
    assert len(found.people) == len(wanted.people)
    assert len(found.labelled_people) == len(wanted.people)
    for person, drawn in zip(found.people, wanted.people, strict=True):
        same_person(found.read_person(person), wanted.read_person(drawn))
    for garment, drawn in zip(found.garments, wanted.garments, strict=True):
        assert torch.equal(found.read_garment(garment).image, wanted.read_garment(drawn).image)
        assert torch.equal(found.read_garment(garment).mask, wanted.read_garment(drawn).mask)


@pytest.mark.parametrize("name", TRAINED_ON)
def test_training_on_them_is_the_same_training(
    laid_out: Callable[[str], Path], tiny_config: TrainConfig, tmp_path: Path, name: str
) -> None:
    losses = []
    for data in (tiny_config.data, laid_out(name)):
        config = replace(tiny_config, data=data, out=tmp_path / data.name, steps=1)
        train_stage("tutor-warp", config)
        losses.append(np.genfromtxt(config.out / "tutor-warp" / "log.csv", delimiter=",", skip_header=1))
    assert len(losses[0]) > 2
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)  # as it is logged


@pytest.mark.parametrize(
    ("name", "pairs", "written"),
    [
        ("viton-hd", "test_pairs.txt", ["000000_00__000001_00.png", "000001_00__000000_00.png"]),
        ("dress-code", "test_pairs_unpaired.txt", ["000005_0__000006_1.png", "000006_0__000005_1.png"]),
        ("dress-code", "upper_body/test_pairs_paired.txt", ["000005_0__000005_1.png", "000006_0__000006_1.png"]),
        (
            "street-tryon",
            "street_tryon/annotations/shop2street_test_pairs_top.csv",
            ["000000__000001_00.png", "000001__000000_00.png"],
        ),
    ],
)
def test_their_pairs_are_dressed_where_they_lie(
    laid_out: Callable[[str], Path], untrained: Path, tmp_path: Path, name: str, pairs: str, written: list[str]
) -> None:
    data = laid_out(name)
    arguments = ("--weights", untrained / "student", "--data", data, "--pairs", data / pairs, "--out", tmp_path / "out")
    assert run("infer", *arguments, "--layout", name) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == written


def test_a_tutor_is_evaluated_where_they_lie(laid_out: Callable[[str], Path], untrained: Path, tmp_path: Path) -> None:
    data, out = laid_out("dress-code"), tmp_path / "scores.json"
    pairs = data / "upper_body" / "test_pairs_paired.txt"
    assert run("evaluate", "--weights", untrained / "tutor", "--data", data, "--pairs", pairs, "--out", out) == 0
    assert [score["person"] for score in json.loads(out.read_text())["pairs"]] == ["000005", "000006"]


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_layout_is_recognised_and_said_once_with_its_licence(
    laid_out: Callable[[str], Path], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level("INFO")
    recognition._say.cache_clear()
    data = laid_out(name)
    for _ in range(2):
        assert TryOnFolder(data, "test").layout == LAYOUTS[name]
    assert caplog.messages == [f"{data}: layout {name}; licence: {LAYOUTS[name].licence}"]


def test_where_a_folder_has_two_layouts_one_must_be_named(drawn_data: Path, tmp_path: Path) -> None:
    data = rearranged.as_viton_hd(drawn_data, Path(shutil.copytree(drawn_data, tmp_path / "data")))
    with pytest.raises(InputError, match=r"data: found layouts viton and viton-hd, wanted one to be named"):
        TryOnFolder(data, "train")
    for name in ("viton", "viton-hd"):
        assert TryOnFolder(data, "train", layout=name).layout.name == name
    with pytest.raises(InputError, match="layout: found 'vitonhd', wanted one of viton, viton-hd"):
        TryOnFolder(data, "train", layout="vitonhd")


def test_a_folder_of_no_layout_is_told_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError) as caught:
        TryOnFolder(tmp_path, "train")
    for wanted in ("train_img or test_img (viton)", "train/image or test/image (viton-hd)", "upper_body/images"):
        assert wanted in str(caught.value)
    with pytest.raises(InputError, match="found none of upper_body, lower_body, dresses"):
        TryOnFolder(tmp_path, "train", layout="dress-code")
    with pytest.raises(InputError, match=r"train/image: no such folder"):
        TryOnFolder(tmp_path, "train", layout="viton-hd")


def test_older_folder_names_of_viton_hd_are_known(drawn_data: Path, tmp_path: Path) -> None:
    data = rearranged.as_viton_hd(drawn_data, tmp_path / "data")
    wanted = TryOnFolder(data, "train").read_person("000001")
    for name, older in (("image-parse-v3", "image-parse"), ("openpose_json", "openpose-json")):
        (data / "train" / name).rename(data / "train" / older)
    same_person(TryOnFolder(data, "train").read_person("000001"), wanted)


class TestDressCode:
    def test_the_lists_tell_the_splits_apart(self, laid_out: Callable[[str], Path]) -> None:
        data = laid_out("dress-code")
        train, test = (TryOnFolder(data, split) for split in ("train", "test"))
        assert train.people == train.garments == ["000000", "000001", "000002", "000003", "000004"]
        assert test.people == test.garments == ["000005", "000006"]
        assert not set(train.files) & set(test.files)

    def test_a_list_of_all_categories_serves_where_they_have_none(self, dress_code: Path) -> None:
        for path in (dress_code / "upper_body").glob("*.txt"):
            path.unlink()
        folder = TryOnFolder(dress_code, "test")
        assert folder.people == ["000005", "000006"]
        assert read_pairs(folder.pair_lists[-1], folder) == [("000005", "000006"), ("000006", "000005")]

    def test_a_categorys_own_folder_may_be_the_data_folder(self, laid_out: Callable[[str], Path]) -> None:
        data = laid_out("dress-code")
        assert TryOnFolder(data / "upper_body", "train").people == TryOnFolder(data, "train").people

    @pytest.mark.parametrize(
        ("category", "scheme", "label"), [("lower_body", ATR_LOWER, 6), ("dresses", ATR_DRESSES, 7)]
    )
    def test_the_category_says_which_garment_is_exchanged(self, dress_code: Path, category, scheme, label: int) -> None:
        (dress_code / "upper_body").rename(dress_code / category)
        path = dress_code / category / "label_maps" / "000001_4.png"
        labels = np.array(Image.open(path))
        labels[-1, -1] = label
        Image.fromarray(labels).save(path)
        folder = TryOnFolder(dress_code, "train")
        assert folder.scheme == scheme
        regions = folder.read_person("000001").regions
        assert regions is not None
        assert np.array_equal(regions.garment[0], labels == label)
        assert np.array_equal(regions.face[0], np.isin(labels, [1, 2, 3, 11]))

    def test_categories_are_read_together_each_with_its_garment(self, dress_code: Path) -> None:
        lower = Path(shutil.copytree(dress_code / "upper_body", dress_code / "lower_body"))
        for path in [path for path in lower.rglob("*_?.*") if path.is_file() and path.parent != lower]:
            path.rename(path.with_name("1" + path.name[1:]))
        for path in lower.glob("*.txt"):
            path.write_text(path.read_text().replace("00000", "10000"))
        folder = TryOnFolder(dress_code, "train")
        assert len(folder.people) == 10
        upper, own = (folder.read_person(person).regions for person in ("000002", "100002"))
        assert upper is not None
        assert own is not None
        assert upper.garment.any()
        assert own.garment.any()
        assert not (upper.garment * own.garment).any()

    def test_without_masks_they_are_made_from_the_plain_background(self, dress_code: Path) -> None:
        drawn = TryOnFolder(dress_code, "train").read_garment("000001").mask
        shutil.rmtree(dress_code / "upper_body" / "masks")
        folder = TryOnFolder(dress_code, "train")
        made = folder.read_garment("000001").mask
        assert (made * drawn).sum() / torch.maximum(made, drawn).sum() > 0.9
        assert folder.mask_path("000001") == folder.garment_path("000001")

    def test_keypoints_outside_of_three_by_four_are_scaled_to_the_photo(self, dress_code: Path) -> None:
        path = dress_code / "upper_body" / "keypoints" / "000001_2.json"
        path.write_text(json.dumps({"keypoints": [[192.0, 256.0, 1.0, 0.0]] * 18}))
        keypoints = TryOnFolder(dress_code, "train").read_person("000001").keypoints
        assert keypoints is not None
        assert keypoints[0].tolist() == [32.0, 32.0, 1.0]

    def test_a_listed_person_without_a_photo_is_named(self, dress_code: Path) -> None:
        (dress_code / "upper_body" / "images" / "000003_0.png").unlink()
        with pytest.raises(InputError, match=r"upper_body/images/000003_0\.png: no such file, though .* \(1 missing\)"):
            TryOnFolder(dress_code, "train")

    def test_one_id_in_two_categories_is_refused(self, dress_code: Path) -> None:
        shutil.copytree(dress_code / "upper_body", dress_code / "dresses")
        with pytest.raises(InputError, match=r"dresses/images/000000_0\.png: found id 000000, which .*upper_body"):
            TryOnFolder(dress_code, "train")

    def test_without_lists_the_splits_are_not_known(self, dress_code: Path) -> None:
        for path in dress_code.rglob("train_pairs.txt"):
            path.unlink()
        with pytest.raises(InputError, match=r"upper_body: found no train_pairs\*\.txt, wanted it to tell who is in"):
            TryOnFolder(dress_code, "train")


class TestStreetTryOn:
    def test_its_people_wear_garments_of_viton_hd(self, laid_out: Callable[[str], Path], drawn_data: Path) -> None:
        folder, drawn = TryOnFolder(laid_out("street-tryon"), "test"), TryOnFolder(drawn_data, "test")
        for person in folder.people:
            found, wanted = folder.read_person(person), drawn.read_person(person)
            assert torch.equal(found.photo, wanted.photo)
            assert found.densepose is not None
            assert torch.equal(found.densepose, wanted.densepose)
            assert found.regions is None
        assert torch.equal(folder.read_garment("000001").image, drawn.read_garment("000001").image)

    def test_a_csv_list_has_a_header_and_the_garment_before_the_person(self, laid_out: Callable[[str], Path]) -> None:
        folder = TryOnFolder(laid_out("street-tryon"), "test")
        assert read_pairs(folder.pair_lists[0], folder) == [("000000", "000001"), ("000001", "000000")]
        pairs = folder.pair_lists[0].read_text().splitlines()
        assert pairs[1].split(",")[1:] == ["000001_00.png", "000000.png"]

    def test_a_csv_list_of_two_columns_is_told_what_is_wanted(
        self, laid_out: Callable[[str], Path], tmp_path: Path
    ) -> None:
        path = tmp_path / "pairs.csv"
        path.write_text("person,garment\n000000.png,000001_00.png\n")
        with pytest.raises(
            InputError, match=r"pairs\.csv:2: found 2 names .*, wanted 'number garment\.jpg person\.jpg'"
        ):
            read_pairs(path, TryOnFolder(laid_out("street-tryon"), "test"))

    def test_it_has_nothing_to_train_on(self, laid_out: Callable[[str], Path]) -> None:
        with pytest.raises(InputError, match="found layout street-tryon, which has no train split"):
            TryOnFolder(laid_out("street-tryon"), "train")
