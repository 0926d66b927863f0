from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tryon.cli import main


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def first_file(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def test_data_is_synthesized_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    assert run("data", "synthesize", "--out", out, "--train", 2, "--test", 2, "--size", "64x64", "--seed", 7) == 0
    assert run("data", "check", out) == 0
    assert (
        "train: 2 people (2 with parsing and pose), 2 garments, 64x64, viton labels, DensePose"
        in capsys.readouterr().out
    )


def test_every_problem_of_a_data_folder_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    assert run("data", "synthesize", "--out", out, "--train", 3, "--test", 0, "--size", "64x64") == 0
    for number in (0, 2):
        (out / "train_img" / f"00000{number}_0.png").write_bytes(b"not an image")
    Image.new("RGB", (64, 64)).save(out / "train_img" / "000000_0.png")
    (out / "train_densepose" / "000001_0.npy").write_bytes(b"broken")
    assert run("data", "check", out) == 2
    printed = capsys.readouterr()
    assert "000001_0.npy" in printed.err
    assert "(2 problems)" in printed.err
    assert "000002_0.png" in printed.out


def test_one_person_is_dressed(tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "result.png"
    person, garment = (first_file(drawn_data / name) for name in ("test_img", "test_clothes"))
    assert run("infer", "--weights", tiny_run / "student", "--person", person, "--garment", garment, "--out", out) == 0
    assert Image.open(out).size == Image.open(person).size


def test_the_pairs_of_a_folder_are_dressed(tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    pairs = drawn_data / "test_pairs_unpaired.txt"
    arguments = ("--weights", tiny_run / "student", "--data", drawn_data, "--pairs", pairs, "--out", tmp_path / "out")
    assert run("infer", *arguments) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000000_0__000001_1.png", "000001_0__000000_1.png"]


def test_a_model_is_evaluated(tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    pairs, out = drawn_data / "test_pairs_paired.txt", tmp_path / "scores.json"
    assert run("evaluate", "--weights", tiny_run / "tutor", "--data", drawn_data, "--pairs", pairs, "--out", out) == 0
    assert len(json.loads(out.read_text())["pairs"]) == 2


class TestBadInputIsOneLineAndExitCodeTwo:
    @pytest.fixture
    def refused(self, capsys: pytest.CaptureFixture[str]):
        def check(*arguments: object, names: str) -> None:
            assert run(*arguments) == 2
            error = capsys.readouterr().err.strip()
            assert error.count("\n") == 0
            assert error.startswith("tryon: ")
            assert names in error

        return check

    def test_no_command(self, refused) -> None:
        refused(names="COMMAND")

    def test_unknown_stage(self, refused, drawn_data: Path, tmp_path: Path) -> None:
        refused("train", "teacher", "--data", drawn_data, "--out", tmp_path, names="teacher")

    def test_wrong_size(self, refused, tmp_path: Path) -> None:
        wrong = ("data", "synthesize", "--out", tmp_path, "--train", 1, "--test", 0, "--size", "256")
        refused(*wrong, names="found '256', wanted HEIGHTxWIDTH")

    def test_device_that_is_not_there(self, refused, tiny_run: Path, tmp_path: Path) -> None:
        refused("infer", "--weights", tiny_run, "--out", tmp_path, "--device", "warp9", names="--device: found 'warp9'")

    def test_missing_data(self, refused, tmp_path: Path) -> None:
        refused("train", "tutor-warp", "--data", tmp_path / "no", "--out", tmp_path, names="no such data folder")

    def test_missing_weights(self, refused, drawn_data: Path, tmp_path: Path) -> None:
        person, garment = (first_file(drawn_data / name) for name in ("test_img", "test_clothes"))
        arguments = ("--weights", tmp_path, "--person", person, "--garment", garment, "--out", tmp_path / "x.png")
        refused("infer", *arguments, names="model.json: no such file")

    def test_missing_photo(self, refused, tiny_run: Path, tmp_path: Path) -> None:
        arguments = ("--person", tmp_path / "no.jpg", "--garment", tmp_path / "no.jpg", "--out", tmp_path / "x.png")
        refused("infer", "--weights", tiny_run / "student", *arguments, names="no.jpg: no such file")

    def test_person_without_garment(self, refused, tiny_run: Path, tmp_path: Path) -> None:
        arguments = ("--person", tmp_path / "no.jpg", "--out", tmp_path / "x.png")
        refused("infer", "--weights", tiny_run, *arguments, names="wanted --person and --garment")

    def test_output_that_is_no_image_file(self, refused, tiny_run: Path, tmp_path: Path) -> None:
        arguments = ("--person", "a.jpg", "--garment", "b.jpg", "--out", tmp_path)
        refused("infer", "--weights", tiny_run, *arguments, names="wanted an image file")

    def test_pair_that_is_not_in_the_folder(self, refused, tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
        pairs = tmp_path / "pairs.txt"
        pairs.write_text("000000_0.png 999999_1.png\n")
        arguments = ("--data", drawn_data, "--pairs", pairs, "--out", tmp_path / "out")
        refused("infer", "--weights", tiny_run / "student", *arguments, names="found no file of 999999")
        assert not (tmp_path / "out").exists()
