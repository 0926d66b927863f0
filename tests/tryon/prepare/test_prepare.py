from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.cli import main
from tryon.config import TrainConfig
from tryon.data.check import FolderCheck
from tryon.data.folder import TryOnFolder
from tryon.data.images import open_mask
from tryon.engine import train_stage
from tryon.errors import InputError
from tryon.prepare.body_parts import HIPS, NECK
from tryon.prepare.parser import SCHEMES, read_scheme
from tryon.prepare.person import Sight
from tryon.prepare.writer import TABLE, prepare

TUTOR = "tutor-warp"


@pytest.fixture
def sight(viton_names: Path) -> Sight:
    return Sight(size=(64, 64), scheme=read_scheme(str(viton_names)), whole=True)


def refusal(folder: Path, out: Path, sight: Sight) -> str:
    """Why the one person of a folder that cannot be prepared is refused."""
    findings = {finding.name: finding.refused for finding in prepare(folder, out, sight)}
    assert [name for name, why in findings.items() if why] == ["000000"]
    return findings["000000"]


def change_labels(folder: Path, rows: slice, columns: slice, label: int) -> None:
    path = folder / "labels" / "000000_0.png"
    labels = np.array(Image.open(path))
    labels[rows, columns] = label
    Image.fromarray(labels).save(path)


def test_what_is_prepared_is_the_person_and_garment_of_the_photos(
    own_photos: Path, sight: Sight, drawn_data: Path, tmp_path: Path
) -> None:
    prepare(own_photos, tmp_path / "out", sight)
    found, wanted = TryOnFolder(tmp_path / "out", "train"), TryOnFolder(drawn_data, "train")
    assert found.people == wanted.people[:3]
    for name in found.people:
        person, truth = found.read_person(name), wanted.read_person(name)
        assert person.regions is not None
        assert truth.regions is not None
        assert person.keypoints is not None
        assert torch.equal(person.photo, truth.photo)
        for region in ("garment", "face", "other_clothes", "arms"):
            assert torch.equal(getattr(person.regions, region), getattr(truth.regions, region)), region
        assert truth.keypoints is not None
        inside = ((truth.keypoints[:, :2] > 1) & (truth.keypoints[:, :2] < 64)).all(dim=1)
        torch.testing.assert_close(person.keypoints[inside], truth.keypoints[inside], rtol=0, atol=1e-3)
        garment, product = found.read_garment(name), wanted.read_garment(name)
        assert (garment.mask != product.mask).float().mean() < 0.02  # made from the photo


def test_a_prepared_folder_passes_the_check_and_trains(own_photos: Path, sight: Sight, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(own_photos, out, sight)
    check = FolderCheck(out)
    check.run()
    assert check.faults == 0
    assert "3 people (3 with parsing and pose), 3 garments, 64x64, lip labels, DensePose" in check.summaries[0]
    train_stage(TUTOR, TrainConfig(data=out, out=tmp_path / "run", width=1 / 16, steps=2, batch=2, workers=0))
    assert (tmp_path / "run" / TUTOR / "warp.safetensors").exists()


def test_a_person_is_cut_out_of_a_wide_photo_with_labels_and_pose(
    own_photos: Path, sight: Sight, tmp_path: Path
) -> None:
    for kind in ("people", "labels"):
        for path in (own_photos / kind).iterdir():
            image = Image.open(path)
            wide = Image.new(image.mode, (264, 104), 0)
            wide.paste(image, (120, 20))
            wide.save(path)
    for path in (own_photos / "poses").iterdir():
        pose = json.loads(path.read_text())
        points = np.array(pose["people"][0]["pose_keypoints"]).reshape(-1, 3)
        points[:, :2] += (120, 20)
        pose["people"][0]["pose_keypoints"] = points.ravel().tolist()
        path.write_text(json.dumps(pose))
    findings = prepare(own_photos, tmp_path / "out", replace(sight, whole=False, size=(128, 96)))
    assert not any(finding.refused for finding in findings)
    folder = TryOnFolder(tmp_path / "out", "train")
    for name in folder.people:
        person = folder.read_person(name)
        assert person.regions is not None
        assert person.keypoints is not None
        assert person.regions.garment.mean() > 0.08  # of the wide photo it is 0.03
        trunk = person.keypoints[[NECK, *HIPS]]
        assert (trunk[:, 2] == 1).all()
        x, y, _ = trunk.mean(dim=0).int().tolist()
        assert person.regions.garment[0, y, x] == 1


def test_a_pair_file_says_who_wears_what(own_photos: Path, sight: Sight, tmp_path: Path) -> None:
    (own_photos / "pairs.txt").write_text(
        "000000_0.png 000002_1.png\n000001_0.png 000002_1.png\n000002_0.png 000002_1.png\n"
    )
    prepare(own_photos, tmp_path / "out", sight)
    folder = TryOnFolder(tmp_path / "out", "train")
    masks = [folder.read_garment(name).mask for name in folder.people]
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[1], masks[2])
    (own_photos / "pairs.txt").write_text("000000_0.png 000000_1.png\n000000_0.png 000001_1.png\n")
    with pytest.raises(InputError, match=r"pairs\.txt:2: found a second garment of 000000"):
        prepare(own_photos, tmp_path / "other", sight)
    (own_photos / "pairs.txt").write_text("000000_0.png nobody.png\n")
    with pytest.raises(InputError, match=r"pairs\.txt:1: found nobody, wanted a file of garments"):
        prepare(own_photos, tmp_path / "other", sight)


def test_what_is_there_already_goes_before_what_would_be_made(
    own_photos: Path, sight: Sight, drawn_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_data / "train_densepose", own_photos / "densepose")
    shutil.copytree(drawn_data / "train_edge", own_photos / "masks")
    findings = prepare(own_photos, tmp_path / "out", sight)
    assert {(finding.body_parts, finding.mask) for finding in findings} == {("DensePose", "from a file")}
    for name in ("000000", "000001", "000002"):
        parts = np.load(tmp_path / "out" / "train_densepose" / f"{name}_0.npy")
        np.testing.assert_array_equal(parts, np.load(drawn_data / "train_densepose" / f"{name}_0.npy"))
        mask, given = (
            open_mask(root / f"{name}_1.png") for root in (tmp_path / "out/train_edge", own_photos / "masks")
        )
        assert mask.tobytes() == given.tobytes()


def test_without_body_parts_the_tutor_trains_without(own_photos: Path, sight: Sight, tmp_path: Path) -> None:
    prepare(own_photos, tmp_path / "out", replace(sight, body_parts=False))
    assert not TryOnFolder(tmp_path / "out", "train").has_densepose


def test_a_photo_of_two_people_is_refused(own_photos: Path, sight: Sight, tmp_path: Path) -> None:
    path = own_photos / "poses" / "000000_0_keypoints.json"
    pose = json.loads(path.read_text())
    pose["people"] *= 2
    path.write_text(json.dumps(pose))
    assert refusal(own_photos, tmp_path / "out", sight).startswith(
        "found 2 people with neck and shoulders in 000000_0_"
    )


def test_two_faces_in_the_parsing_are_two_people(own_photos: Path, sight: Sight, tmp_path: Path) -> None:
    change_labels(own_photos, slice(2, 14), slice(2, 10), 12)
    assert refusal(own_photos, tmp_path / "out", sight) == "found 2 faces in the parsing, wanted one person"


def test_a_pose_of_no_one_and_a_parsing_without_upper_clothes_are_refused(
    own_photos: Path, sight: Sight, tmp_path: Path
) -> None:
    change_labels(own_photos, slice(None), slice(None), 0)
    assert refusal(own_photos, tmp_path / "one", sight).startswith("found 0.0% of the frame to be upper clothes")
    path = own_photos / "poses" / "000000_0_keypoints.json"
    path.write_text('{"people": []}')
    why = refusal(own_photos, tmp_path / "two", replace(sight, whole=False))
    assert why == "found no person (of the pose nothing), wanted nose, neck and shoulders"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("poses", "found no pose file, wanted one or --pose FILE"),
        ("labels", "found no label map, wanted one or --parser FILE"),
        ("garments", "found no garment of this name, wanted one or a line in the pair file"),
    ],
)
def test_who_lacks_a_file_is_refused_and_the_others_are_prepared(
    own_photos: Path, sight: Sight, tmp_path: Path, kind: str, why: str
) -> None:
    next(path for path in (own_photos / kind).iterdir() if "000000" in path.name).unlink()
    assert refusal(own_photos, tmp_path / "out", sight) == why
    assert TryOnFolder(tmp_path / "out", "train").people == ["000001", "000002"]


def test_damaged_and_misfitting_files_are_named(own_photos: Path, sight: Sight, tmp_path: Path) -> None:
    change_labels(own_photos, slice(1), slice(1), 14)
    why = "000000_0.png: found label 14, wanted 0..13 (--labels)"
    assert refusal(own_photos, tmp_path / "one", sight) == why
    Image.new("L", (10, 10)).save(own_photos / "labels" / "000000_0.png")
    assert refusal(own_photos, tmp_path / "two", sight) == "found 000000_0.png of 10x10, wanted 64x64 as its photo"
    garment = own_photos / "garments" / "000000_1.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(garment)
    shutil.copy(own_photos / "labels" / "000001_0.png", own_photos / "labels" / "000000_0.png")
    assert refusal(own_photos, tmp_path / "three", sight).startswith("000000_1.png: found no plain background")
    garment.write_bytes(b"damaged")
    assert "cannot be read as an image" in refusal(own_photos, tmp_path / "four", sight)


def test_the_command_shows_a_table_and_ends_with_2_where_someone_was_refused(
    own_photos: Path, viton_names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = ["data", "prepare", str(own_photos), "--size", "64x64", "--labels", str(viton_names), "--framing", "whole"]
    assert main([*given, "--out", str(tmp_path / "whole")]) == 0
    (own_photos / "garments" / "000001_1.png").unlink()
    assert main([*given, "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert "000001: refused: found no garment of this name" in said.out
    assert "000002: frame 64x64 at 0 0, keypoints 1" in said.out
    assert f"{own_photos}: 1 of 3 people refused; the others are in {out}" in said.err
    with (out / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["refused"]) for row in rows] == [False, True, False]


def test_where_no_one_is_left_or_the_work_is_stopped_there_is_no_folder(
    own_photos: Path, sight: Sight, tmp_path: Path
) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(own_photos, tmp_path / "out", sight, stop)
    shutil.rmtree(own_photos / "labels")
    with pytest.raises(
        InputError, match=r"found no one to train with; 000000: refused: found no label map.*\(3 refused\)"
    ):
        prepare(own_photos, tmp_path / "out", sight)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(InputError, match="out: already there and not an empty folder"):
        prepare(own_photos, tmp_path / "out", sight)


def test_labels_that_are_no_scheme_are_refused(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("background\nshirt\n")
    with pytest.raises(
        InputError, match=r"names\.txt: found 'shirt', wanted a line for each label, of background, hat"
    ):
        read_scheme(str(names))
    with pytest.raises(InputError, match="--labels: found pascal, wanted lip, lip-neck, atr, or a file of names"):
        read_scheme("pascal")


def test_a_jumpsuit_of_lip_is_a_dress_and_the_neck_of_try_on_sets_stays() -> None:
    assert SCHEMES["lip"][10] == 6
    assert SCHEMES["lip-neck"] == tuple(range(20))
    assert [SCHEMES["atr"][label] for label in (4, 7, 11, 14, 15)] == [5, 6, 13, 14, 15]


def test_two_real_people_are_prepared_and_train(real_photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, kind in {"people": "img", "garments": "clothes", "labels": "label_lip", "poses": "pose"}.items():
        (folder / name).symlink_to(real_photos / f"test_{kind}")
    out = tmp_path / "out"
    findings = prepare(folder, out, Sight(size=(256, 192), scheme=SCHEMES["lip-neck"]))
    assert [finding.name for finding in findings if not finding.refused] == ["000010", "003491"]
    assert {finding.refused.partition(",")[0] for finding in findings} == {"", "found no garment of this name"}
    config = TrainConfig(data=out, out=tmp_path / "run", size=(64, 64), width=1 / 16, steps=2, batch=2, workers=0)
    train_stage(TUTOR, config)
    assert (tmp_path / "run" / TUTOR / "warp.safetensors").exists()
