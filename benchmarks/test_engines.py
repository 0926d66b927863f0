"""A picture dressed by a student as PyTorch has it and by exported ones, networks of full width, on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.test_inference import ROUNDS, SIZE, Frozen, pair, seconds
from tryon.data.sample import Garment, Person
from tryon.engines import ENGINES, ExportedTryOn
from tryon.export.student import export_student
from tryon.models import Student
from tryon.precision import multiplies_bfloat16
from tryon.weights import ModelRecord, save_model

FAR = 1e-3  # mean difference of pictures in [-1, 1] from PyTorch's float32


class Exported:
    """A file, as `ExportedTryOn` has it."""

    def __init__(self, path: Path, engine: str) -> None:
        self.model = ExportedTryOn(path, engine).model

    def __call__(self, person: Person, garment: Garment) -> torch.Tensor:
        """The picture."""
        image: torch.Tensor = self.model(person, garment).image
        return image


@torch.inference_mode()
def test_a_picture_by_other_engines_is_pytorchs(tmp_path: Path) -> None:
    """Pictures are compared before times."""
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package, reason="engines are compared where extras onnx and openvino are installed")
    torch.manual_seed(0)
    student = Student(width=1.0, generator=True).eval()
    record = ModelRecord("student", 1.0, SIZE, False, True, "viton", "random", "student", 0)
    save_model(tmp_path / "student", student, record)
    export_student(tmp_path / "student", tmp_path / "model.onnx", SIZE)
    precisions = ["fp32", *(["bf16"] if multiplies_bfloat16() else [])]
    forms: dict[str, Frozen | Exported] = {f"torch, {name}": Frozen(student, name) for name in precisions}
    forms |= {name: Exported(tmp_path / "model.onnx", name) for name in ENGINES}
    inputs = pair(SIZE)
    expected = forms["torch, fp32"](*inputs)
    for name in ENGINES:
        assert (forms[name](*inputs) - expected).abs().mean() <= FAR
    taken = seconds(forms, inputs, ROUNDS)
    for name, value in taken.items():
        print(f"{SIZE[0]} x {SIZE[1]}, {name}: {value * 1e3:.0f} ms, {taken['torch, fp32'] / value:.2f} x as fast")
