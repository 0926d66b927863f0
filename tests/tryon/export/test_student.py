"""A student as one ONNX file, and dressing with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon import InputError, TryOn
from tryon.cli import main
from tryon.data.sample import Garment, Person
from tryon.engines import ExportedTryOn
from tryon.export import student as exporting
from tryon.export.student import export_student
from tryon.models import Student
from tryon.weights import read_record, save_model

pytestmark = pytest.mark.extras
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@pytest.fixture(scope="module")
def fixed(untrained_student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for the size of training, by the command line."""
    for package in PACKAGES:
        pytest.importorskip(package, reason="optional packages: make extras")
    out = tmp_path_factory.mktemp("fixed") / "model.onnx"
    assert main(["export", "--weights", str(untrained_student), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def open_sized(untrained_student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for all sizes, of half-size weights, of the later opset."""
    for package in PACKAGES:
        pytest.importorskip(package, reason="optional packages: make extras")
    out = tmp_path_factory.mktemp("open") / "model.onnx"
    export_student(untrained_student, out, None, opset=20, half=True)
    return out


def pictures(height: int, width: int) -> tuple[Image.Image, Image.Image]:
    """A person of noise and a garment in a white frame."""
    drawn = np.random.default_rng(0).integers(0, 200, (2, height, width, 3), np.uint8)
    garment = np.full_like(drawn[1], 255)
    inner = np.s_[height // 8 : -(height // 8), width // 8 : -(width // 8)]
    garment[inner] = drawn[1][inner]
    return Image.fromarray(drawn[0]), Image.fromarray(garment)


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)


def test_a_file_stands_alone_and_says_what_it_is(fixed: Path, untrained_student: Path) -> None:
    import onnxruntime

    assert [path.name for path in fixed.parent.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(fixed))
    assert [(value.name, value.shape[1:]) for value in session.get_inputs()] == [
        ("person", [3, 64, 64]),
        ("garment", [3, 64, 64]),
        ("garment_mask", [1, 64, 64]),
    ]
    said = session.get_modelmeta().custom_metadata_map
    assert said["tryon.size"] == "64x64"
    assert json.loads(said["tryon.outputs"]).keys() == {value.name for value in session.get_outputs()}
    assert ExportedTryOn(fixed, "onnx").record == read_record(untrained_student)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize("side", [64, 150])
def test_other_engines_dress_as_pytorch_does(engine: str, side: int, fixed: Path, untrained_student: Path) -> None:
    pytest.importorskip(engine, reason="optional packages: make extras")
    photo, garment = pictures(side, side)
    expected = TryOn.load(untrained_student, precision="fp32").dress(photo, garment)
    result = ExportedTryOn(fixed, engine).dress(photo, garment)
    assert np.abs(levels(result) - levels(expected)).max() <= 1  # two roundings of nearly the same numbers


def test_a_file_for_all_sizes_takes_photos_of_other_proportions(open_sized: Path, untrained_student: Path) -> None:
    photo, garment = pictures(64, 64)
    student = TryOn.load(untrained_student, precision="fp32")
    result = ExportedTryOn(open_sized, "onnx")
    # Half-size weights move a picture by less than a grey level on average.
    assert np.abs(levels(result.dress(photo, garment)) - levels(student.dress(photo, garment))).mean() < 1
    wide = torch.rand(2, 3, 64, 90, generator=torch.Generator().manual_seed(0))
    found = result.model(Person(wide, None, None, None), Garment(wide, torch.ones_like(wide[:, :1])))
    assert found.image.shape == (2, 3, 64, 90)
    assert found.warped.flow.sampling_map.shape == (2, 2, 64, 90)


def test_half_size_weights_make_half_the_file(fixed: Path, open_sized: Path) -> None:
    import onnx

    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    whole, half = (
        {kind: sum(np.prod(t.dims) for t in onnx.load(path).graph.initializer if t.data_type == kind) for kind in kinds}
        for path in (fixed, open_sized)
    )
    assert whole[onnx.TensorProto.FLOAT16] == 0
    assert half[onnx.TensorProto.FLOAT16] > 0.8 * whole[onnx.TensorProto.FLOAT]


def test_a_file_that_computes_something_else_is_not_kept(
    fixed: Path, untrained_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    other = tmp_path / "other"
    save_model(other, Student(width=1 / 16, generator=True, copy_mask=True), read_record(untrained_student))
    monkeypatch.setattr(exporting, "onnx_bytes", lambda *_: fixed.read_bytes())
    out = tmp_path / "model.onnx"
    with pytest.raises(InputError, match=r"not written, for its image differs from PyTorch's by"):
        export_student(other, out, (64, 64))
    assert not out.exists()


def test_a_student_without_a_generator_is_refused(untrained_student: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="optional packages: make extras")
    record = read_record(untrained_student)
    unfinished = tmp_path / "unfinished"
    save_model(unfinished, Student(width=1 / 16, generator=False), replace(record, generator=False, stage="half"))
    with pytest.raises(InputError, match="found stage half, which has no generator; wanted student"):
        export_student(unfinished, tmp_path / "model.onnx", (64, 64))


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_damaged_file_is_one_line(engine: str, fixed: Path, tmp_path: Path) -> None:
    pytest.importorskip(engine, reason="optional packages: make extras")
    cut = tmp_path / "model.onnx"
    cut.write_bytes(fixed.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.onnx: cannot be read as an ONNX file") as failure:
        ExportedTryOn(cut, engine)
    assert "\n" not in str(failure.value)
