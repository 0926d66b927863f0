from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tryon.cli import main
from tryon.cli.options import chosen_device
from tryon.inference import TryOn


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
    assert f"{out}: found 2 faults that would stop training or dressing" in printed.err
    stops = [line.split() for line in printed.out.splitlines() if line.startswith("stops")]
    assert [words[1:4] for words in stops] == [
        ["train", "densepose", "train_densepose/000001_0.npy"],
        ["train", "photo", "train_img/000002_0.png"],
    ]
    assert run("data", "check", out, "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert report["layout"] == "viton"
    assert report["faults"] == 2
    assert [finding["file"] for finding in report["findings"]] == [words[3] for words in stops]


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


def test_the_transparency_of_a_folders_garments_is_their_mask(tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(drawn_data, tmp_path / "data"))
    for path in (data / "test_clothes").iterdir():
        garment = Image.open(path).convert("RGBA")
        garment.putalpha(Image.open(data / "test_edge" / path.name).convert("L"))
        garment.save(path)
    shutil.rmtree(data / "test_edge")
    dressed = []
    for source in (drawn_data, data):
        out = tmp_path / f"out_{len(dressed)}"
        given = ("--data", source, "--pairs", source / "test_pairs_unpaired.txt", "--out", out)
        assert run("infer", "--weights", tiny_run / "student", *given) == 0
        dressed.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert dressed[0] == dressed[1]


def test_a_phones_photo_is_dressed_upright(tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    person, garment = (first_file(drawn_data / name) for name in ("test_img", "test_clothes"))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    results = []
    for name, image in (("as_it_is", Image.open(person)), ("on_its_side", Image.open(person).rotate(90, expand=True))):
        path, out = tmp_path / f"{name}.png", tmp_path / f"{name}_dressed.png"
        image.save(path, exif=exif if name == "on_its_side" else None)
        command = ("infer", "--weights", tiny_run / "student", "--person", path, "--garment", garment, "--out", out)
        assert run(*command) == 0
        results.append(Image.open(out))
    assert results[0].tobytes() == results[1].tobytes()
    assert not results[1].getexif()


def test_a_model_is_evaluated(tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    pairs, out = drawn_data / "test_pairs_paired.txt", tmp_path / "scores.json"
    assert run("evaluate", "--weights", tiny_run / "tutor", "--data", drawn_data, "--pairs", pairs, "--out", out) == 0
    assert len(json.loads(out.read_text())["pairs"]) == 2


def test_a_runs_losses_are_plotted(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "losses.png"
    assert run("plot", tiny_run, "--out", out) == 0
    picture = Image.open(out)
    assert picture.height > picture.width  # a panel for each of four stages


def test_losses_and_pictures_go_to_tensorboard(drawn_data: Path, tmp_path: Path) -> None:
    arguments = ("--data", drawn_data, "--out", tmp_path, "--width", 1 / 16, "--steps", 2, "--batch", 2, "--workers", 0)
    assert run("train", "tutor-warp", *arguments, "--tensorboard") == 0
    events = EventAccumulator(str(tmp_path / "tutor-warp" / "tensorboard")).Reload()
    assert [point.step for point in events.Scalars("loss")] == [1, 2]
    assert "warp_l1" in events.Tags()["scalars"]
    assert [picture.step for picture in events.Images("pictures")] == [2]


@pytest.mark.parametrize(("package", "command"), [("torch.utils.tensorboard", "train"), ("matplotlib.figure", "plot")])
def test_an_extra_that_is_not_installed_is_one_line_before_the_work(
    tiny_run: Path,
    drawn_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    command: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    train = ("train", "tutor-warp", "--data", drawn_data, "--out", tmp_path / "run", "--tensorboard")
    assert run(*(train if command == "train" else ("plot", tiny_run))) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert f"pip install tryon-kernels[{'tensorboard' if command == 'train' else 'plot'}]" in error
    assert not (tmp_path / "run").exists()


def test_the_device_is_the_gpu_that_is_there_and_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert chosen_device("cpu") == "cpu"
    assert caplog.messages == []
    for accelerator, device, said in ((None, "cpu", "cpu"), (torch.device("mps"), "mps", "mps (mps)")):
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda accelerator=accelerator, **_: accelerator)
        assert chosen_device(None) == device
        assert caplog.messages[-1] == f"device: {said}"


def test_progress_in_a_file_is_lines(
    tiny_run: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = ("--data", drawn_data, "--pairs", drawn_data / "test_pairs_unpaired.txt")
    train = ("--data", drawn_data, "--out", tmp_path / "run", "--width", 1 / 16, "--steps", 1, "--batch", 2)
    for name, command in {
        "infer": ("infer", "--weights", tiny_run / "student", *pairs, "--out", tmp_path / "out"),
        "evaluate": ("evaluate", "--weights", tiny_run / "student", *pairs, "--out", tmp_path / "scores.json"),
        "synthesize": ("data", "synthesize", "--out", tmp_path / "data", "--train", 2, "--test", 0, "--size", "64x64"),
        "tutor-warp": ("train", "tutor-warp", *train, "--workers", 0),
    }.items():
        assert run(*command) == 0
        errors = capsys.readouterr().err
        (line,) = [line for line in errors.splitlines() if line.startswith(f"{name}: ")]
        unit = {"synthesize": "people", "tutor-warp": "samples"}.get(name, "pairs")
        assert re.fullmatch(rf"{name}: \d/\d \w+, [\d.e+]+ {unit}/s, [\d:]+ left(, loss .* = warp_l1 .*)?", line)
        assert "\r" not in errors


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

    def test_device_without_numbers(self, refused, tiny_run: Path, tmp_path: Path) -> None:
        refused("infer", "--weights", tiny_run, "--out", tmp_path, "--device", "meta", names="--device: found 'meta'")

    @pytest.mark.parametrize(
        ("option", "value"),
        [("seed", -1), ("width", "inf"), ("width", "1e+300"), ("learning-rate", "inf"), ("checkpoint-minutes", "nan")],
    )
    def test_numbers_that_cannot_be(
        self, refused, drawn_data: Path, tmp_path: Path, option: str, value: object
    ) -> None:
        arguments = ("--data", drawn_data, "--out", tmp_path, f"--{option}", value)
        refused("train", "tutor-warp", *arguments, names=f"{option.replace('-', ' ')}: found {value}")

    def test_size_beyond_every_file(self, refused, tmp_path: Path) -> None:
        wrong = ("data", "synthesize", "--out", tmp_path, "--train", 1, "--test", 0, "--size", "64x65536")
        refused(*wrong, names="size: found 64x65536, wanted 1 to 65535 pixels")

    @pytest.mark.parametrize("command", ["train", "one", "pairs", "evaluate", "synthesize", "demo", "plot"])
    def test_output_below_a_file_before_the_work(
        self, refused, tiny_run: Path, drawn_data: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TryOn, "dress", None)
        below = tmp_path / "file" / "out"
        below.parent.touch()
        person, garment = (first_file(drawn_data / name) for name in ("test_img", "test_clothes"))
        weights = ("--weights", tiny_run / "student")
        pairs = ("--data", drawn_data, "--pairs", drawn_data / "test_pairs_unpaired.txt")
        tiny = ("--width", 1 / 16, "--steps", 1, "--batch", 2)
        arguments = {
            "train": ("train", "tutor-warp", "--data", drawn_data, *tiny, "--out", below),
            "one": ("infer", *weights, "--person", person, "--garment", garment, "--out", f"{below}.png"),
            "pairs": ("infer", *weights, *pairs, "--out", below),
            "evaluate": ("evaluate", *weights, *pairs, "--out", below),
            "synthesize": ("data", "synthesize", "--train", 1, "--test", 0, "--out", below),
            "demo": ("demo", "--out", below),
            "plot": ("plot", tiny_run, "--out", below),
        }
        refused(*arguments[command], names=str(below.parent))

    @pytest.mark.parametrize("suffix", [".psd", ".xbm", ".h5"])
    def test_output_of_a_format_that_is_only_read(
        self, refused, tiny_run: Path, drawn_data: Path, tmp_path: Path, suffix: str
    ) -> None:
        person, garment = (first_file(drawn_data / name) for name in ("test_img", "test_clothes"))
        arguments = ("--person", person, "--garment", garment, "--out", tmp_path / f"x{suffix}")
        refused("infer", "--weights", tiny_run / "student", *arguments, names="a format that cannot be written here")

    def test_plot_of_no_run(self, refused, tmp_path: Path) -> None:
        refused("plot", tmp_path, names=f"{tmp_path}: found no log.csv")

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
        refused("infer", "--weights", tiny_run, *arguments, names="wanted --person or --video, and --garment")

    def test_output_that_is_no_image_file(self, refused, tiny_run: Path, tmp_path: Path) -> None:
        arguments = ("--person", "a.jpg", "--garment", "b.jpg", "--out", tmp_path)
        refused("infer", "--weights", tiny_run, *arguments, names="wanted an image file")

    def test_pair_that_is_not_in_the_folder(self, refused, tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
        pairs = tmp_path / "pairs.txt"
        pairs.write_text("000000_0.png 999999_1.png\n")
        arguments = ("--data", drawn_data, "--pairs", pairs, "--out", tmp_path / "out")
        refused("infer", "--weights", tiny_run / "student", *arguments, names="found no file of 999999")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("command", "folder"),
        [(command, folder) for command in ("infer", "evaluate") for folder in ("test_img", "test_clothes", "test_edge")]
        + [("evaluate", folder) for folder in ("test_truth", "test_truth_label", "test_flow")],
    )
    def test_a_damaged_file_of_the_last_pair_before_the_first_is_dressed(
        self, refused, tiny_run: Path, drawn_data: Path, tmp_path: Path, folder: str, command: str
    ) -> None:
        data, out = Path(shutil.copytree(drawn_data, tmp_path / "data")), tmp_path / "out"
        path = sorted((data / folder).iterdir())[-1]
        path.write_bytes(path.read_bytes()[:200])
        arguments = ("--data", data, "--pairs", data / "test_pairs_paired.txt", "--out", out)
        kind = "a flow" if folder == "test_flow" else "an image"
        refused(command, "--weights", tiny_run / "student", *arguments, names=f"{path}: cannot be read as {kind}")
        assert not out.exists()

    def test_a_mask_of_nothing_before_the_first_pair_is_dressed(
        self, refused, tiny_run: Path, drawn_data: Path, tmp_path: Path
    ) -> None:
        data, out = Path(shutil.copytree(drawn_data, tmp_path / "data")), tmp_path / "out"
        path = sorted((data / "test_edge").iterdir())[-1]
        Image.new("L", (64, 64)).save(path)
        arguments = ("--data", data, "--pairs", data / "test_pairs_paired.txt", "--out", out)
        refused("infer", "--weights", tiny_run / "student", *arguments, names=f"{path}: found no garment")
        assert not out.exists()

    def test_masks_that_cannot_be_a_garments(self, drawn_data: Path, tmp_path: Path, capsys) -> None:
        data = Path(shutil.copytree(drawn_data, tmp_path / "data"))
        for path, level in zip(sorted((data / "test_edge").iterdir()), (0, 255), strict=True):
            Image.new("L", Image.open(path).size, level).save(path)
        assert run("data", "check", data) == 2
        lines = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines() if line.startswith("stops")]
        assert [(file, found[:21]) for _, _, _, file, found in lines] == [
            ("test_edge/000000_1.png", "found no garment (0.0"),
            ("test_edge/000001_1.png", "found the whole photo"),
        ]

    def test_mask_of_another_size(self, refused, tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
        person, garment = (first_file(drawn_data / name) for name in ("test_img", "test_clothes"))
        mask = tmp_path / "mask.png"
        Image.new("L", (30, 40), 255).save(mask)
        arguments = ("--person", person, "--garment", garment, "--mask", mask, "--out", tmp_path / "x.png")
        refused("infer", "--weights", tiny_run / "student", *arguments, names=f"{mask}: found 40x30, wanted 64x64")
