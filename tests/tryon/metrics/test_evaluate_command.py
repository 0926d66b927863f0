from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tryon.cli import main
from tryon.data.folder import TryOnFolder
from tryon.metrics import true_photo


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def unpaired(data: Path) -> tuple[object, ...]:
    return "evaluate", "--data", data, "--pairs", data / "test_pairs_unpaired.txt"


@pytest.fixture
def pictures(made: dict[tuple[str, str], Image.Image], tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for (person, garment), picture in made.items():
        picture.save(folder / f"{person}_0__{garment}_1.png")
    return folder


def test_a_models_pictures_are_evaluated_with_their_true_flows(
    tiny_run: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, scores = tmp_path / "report.json", tmp_path / "scores.json"
    weights = tiny_run / "student"
    assert run(*unpaired(drawn_data), "--weights", weights, "--report", out, "--out", scores) == 0
    report, scores = json.loads(out.read_text()), json.loads(scores.read_text())
    for name in ("ssim", "psnr", "end_point_error", "mask_overlap"):
        assert report["figures"][name] == pytest.approx(scores[name])
    assert set(report["source"]["sha256"]) == {"warp.safetensors", "generator.safetensors"}
    printed = capsys.readouterr().out
    for wanted in ("end_point_error", f"{report['figures']['end_point_error']:.4f}", str(out)):
        assert wanted in printed


def test_anybodys_pictures_get_the_figures_of_each_protocol(drawn_data: Path, pictures: Path, tmp_path: Path) -> None:
    figures = {}
    for protocol in ("own", "catvton", "leffa", "ladi"):
        out = tmp_path / f"{protocol}.json"
        arguments = ("--pictures", pictures, "--protocol", protocol, "--report", out)
        assert run(*unpaired(drawn_data), *arguments) == 0
        report = json.loads(out.read_text())
        assert report["protocol"]["name"] == protocol
        figures[protocol] = report["figures"]
    # Pictures and truths have one size here: CatVTON and Leffa differ from ours by SSIM's border, and by Leffa's PSNR.
    assert figures["catvton"]["psnr"] == figures["own"]["psnr"] > figures["leffa"]["psnr"]
    assert figures["catvton"]["ssim"] == figures["leffa"]["ssim"] != figures["own"]["ssim"]
    assert figures["ladi"]["ssim"] > figures["own"]["ssim"] + 0.01


def test_the_photo_outside_is_kept_by_masks_of_ones_own(drawn_data: Path, pictures: Path, tmp_path: Path) -> None:
    folder = TryOnFolder(drawn_data, "test")
    for person in folder.people:
        Image.new("L", (64, 64), 1).save(tmp_path / f"{person}_0.png")  # all may change
    figures = []
    for options in ((), ("--keep-outside", "--regions", tmp_path), ("--keep-outside",)):
        out = tmp_path / "report.json"
        assert run(*unpaired(drawn_data), "--pictures", pictures, "--report", out, *options) == 0
        figures.append(json.loads(out.read_text())["figures"])
    assert figures[0]["psnr"] == figures[1]["psnr"] < figures[2]["psnr"]


def test_people_in_other_garments_without_true_photos_need_an_inception_network(
    tiny_run: Path, real_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("000010_0.jpg 000048_1.jpg\n")
    arguments = ("--data", real_photos, "--pairs", pairs, "--report", tmp_path / "report.json")
    assert run("evaluate", "--weights", tiny_run / "student", *arguments) == 2
    assert "found no pair with a true photo, wanted some, or --inception for FID and KID" in capsys.readouterr().err
    assert not (tmp_path / "report.json").exists()


@pytest.mark.extras
def test_with_an_inception_network_they_get_fid_and_kid(
    tiny_run: Path, real_photos: Path, tmp_path: Path, inception_file: Path, torchvision_models
) -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed: make extras")
    pairs, out = tmp_path / "pairs.txt", tmp_path / "report.json"
    pairs.write_text("000010_0.jpg 000048_1.jpg\n000066_0.jpg 000048_1.jpg\n")
    arguments = ("--data", real_photos, "--pairs", pairs, "--report", out, "--inception", inception_file)
    assert run("evaluate", "--weights", tiny_run / "student", *arguments) == 0
    report = json.loads(out.read_text())
    assert set(report["figures"]) == {"fid", "kid"}
    assert report["pairs"]["with_true_photo"] == 0


@pytest.mark.extras
def test_fid_and_kid_and_lpips_come_from_files(
    drawn_data: Path, pictures: Path, tmp_path: Path, inception_file: Path, torchvision_models
) -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed: make extras")
    weights, out = tmp_path / "squeeze.pth", tmp_path / "report.json"
    torch.save(torchvision_models.squeezenet1_1().state_dict(), weights)
    networks = ("--lpips-squeeze", weights, "--inception", inception_file)
    assert run(*unpaired(drawn_data), "--pictures", pictures, "--report", out, *networks) == 0
    report = json.loads(out.read_text())
    figures = report["figures"]
    assert {"fid", "kid", "lpips_squeeze", "lpips_squeeze_inside", "lpips_squeeze_outside"} <= figures.keys()
    assert figures["fid"] >= 0
    assert 0 < figures["lpips_squeeze_inside"] < figures["lpips_squeeze"]
    assert set(report["weights_sha256"]) == {"lpips_squeeze", "inception"}


class TestBadInputIsOneLine:
    @pytest.fixture
    def refused(self, drawn_data: Path, pictures: Path, capsys: pytest.CaptureFixture[str]):
        def check(*arguments: object, names: str) -> None:
            assert run(*unpaired(drawn_data), "--pictures", pictures, *arguments) == 2
            error = capsys.readouterr().err.strip()
            assert error.startswith("tryon: ")
            assert names in error.splitlines()[-1]

        return check

    def test_scores_of_pictures_without_a_model(self, refused, tmp_path: Path) -> None:
        refused("--out", tmp_path / "scores.json", names="--out: found --pictures, wanted --weights")

    def test_pictures_and_a_model(self, refused, tiny_run: Path) -> None:
        refused("--weights", tiny_run / "student", names="not allowed with")

    def test_a_damaged_picture_before_the_first_is_measured(self, refused, pictures: Path) -> None:
        path = sorted(pictures.iterdir())[-1]
        path.write_bytes(path.read_bytes()[:200])
        refused(names=f"{path}: cannot be read as an image")

    @pytest.mark.parametrize("option", ["--inception", "--lpips-alex", "--lpips-vgg", "--lpips-squeeze", "--dists"])
    def test_weights_that_are_absent(self, refused, tmp_path: Path, option: str) -> None:
        refused(option, tmp_path / "none.pth", names=f"{tmp_path / 'none.pth'}: no such file, wanted weights")

    def test_masks_of_nobody(self, refused, tmp_path: Path) -> None:
        refused("--regions", tmp_path / "masks", names="masks: no such folder, wanted a mask of each person")


def test_a_truth_scores_perfectly(drawn_data: Path, pictures: Path, tmp_path: Path) -> None:
    folder = TryOnFolder(drawn_data, "test")
    for path in pictures.iterdir():
        person, garment = (name[:6] for name in path.stem.split("__"))
        true_photo(folder, person, garment).save(path)
    assert run(*unpaired(drawn_data), "--pictures", pictures, "--report", tmp_path / "report.json") == 0
    figures = json.loads((tmp_path / "report.json").read_text())["figures"]
    assert figures["ssim"] == pytest.approx(1)
    assert figures["psnr"] == float("inf")
