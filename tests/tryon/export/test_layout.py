"""What an exported file says of itself, and the refusals that need none of the packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tryon import InputError
from tryon.cli import main
from tryon.engines import ExportedTryOn
from tryon.export.layout import ExportRecord, read_metadata
from tryon.weights import read_record


@pytest.fixture
def record(untrained_student: Path) -> ExportRecord:
    return ExportRecord(read_record(untrained_student), (64, 48), half=True, version="1.2.3")


def test_a_record_is_read_as_it_was_written(record: ExportRecord) -> None:
    assert read_metadata(record.metadata(), "model.onnx") == record


def test_the_outputs_are_those_that_the_student_has(record: ExportRecord) -> None:
    assert record.outputs[0] == "image"
    assert record.outputs[-1] == "copied"


def test_a_file_of_others_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.onnx: found no record of a student, wanted a file made by tryon exp"):
        read_metadata({"author": "somebody"}, "model.onnx")


def test_a_file_of_another_format_is_refused(record: ExportRecord) -> None:
    with pytest.raises(InputError, match=r"model\.onnx: found format 2, wanted 1"):
        read_metadata(record.metadata() | {"tryon.format": "2"}, "model.onnx")


@pytest.mark.parametrize("change", [{"tryon.model": "{}"}, {"tryon.model": "["}, {"tryon.size": "large"}])
def test_a_damaged_record_is_refused(record: ExportRecord, change: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"model\.onnx: found a damaged record"):
        read_metadata(record.metadata() | change, "model.onnx")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.onnx: no such file, wanted a student's"):
        ExportedTryOn(tmp_path / "model.onnx", "onnx")


@pytest.mark.parametrize(("engine", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_an_engine_that_is_not_installed_is_named(
    engine: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(InputError, match=rf"{package} is not installed; pip install tryon-kernels\[{engine}\]"):
        ExportedTryOn(tmp_path / "model.onnx", engine)


def test_exporting_without_its_packages_names_them_and_leaves_no_file(
    untrained_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    out = tmp_path / "model.onnx"
    assert main(["export", "--weights", str(untrained_student), "--out", str(out)]) == 2
    assert "onnx is not installed; pip install tryon-kernels[onnx]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "--weights", "{folder}", "--out", "{out}.txt"], "wanted a file such as model.onnx"),
        (["export", "--weights", "{folder}", "--out", "{out}.onnx", "--size", "big"], "size: found 'big'"),
        (["export", "--weights", "{folder}", "--out", "{out}.onnx", "--opset", "17"], "--opset: invalid choice"),
        (
            ["infer", "--weights", "{folder}/model.json", "--person", "{photo}", "--garment", "{photo}"],
            "wanted a model folder; --engine onnx or openvino takes files",
        ),
        (
            ["infer", "--engine", "onnx", "--device", "cpu", "--weights", "m", "--person", "{photo}"],
            "--device: found one for --engine onnx, wanted none",
        ),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: list[str],
    message: str,
    untrained_student: Path,
    drawn_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo = next((drawn_data / "test_clothes").iterdir())
    places = {"folder": untrained_student, "out": tmp_path / "out", "photo": photo}
    filled = [argument.format(**places) for argument in arguments]
    if filled[0] == "infer":
        filled += ["--out", str(tmp_path / "out.png")] + ["--garment", str(photo)] * ("--garment" not in filled)
    assert main(filled) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
