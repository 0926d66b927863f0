"""Exported students, run without PyTorch's networks: by onnxruntime or by OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tryon.data.images import Size
from tryon.data.sample import Garment, Person
from tryon.errors import InputError
from tryon.export.layout import INPUTS, ExportRecord, read_metadata
from tryon.inference import TryOn
from tryon.models import TryOnResult, Warped
from tryon.networks import AppearanceFlow
from tryon.networks.blocks import pad_to, padded_size
from tryon.networks.flow import cropped_map

Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]
"""From the file's inputs, by name, to its outputs in their order."""


class ExportedTryOn(TryOn):
    """A student from a file of ``tryon export``, which dresses as the one it was made of.

    A file for one size works at that size; a photo's proportions are then stretched by what `frame_of_person` lets
    pass. A file for all sizes works at the height of training, as the student does.

    Args:
        path: the ONNX file.
        engine: one of `ENGINES`.

    Raises:
        InputError: the file is missing, damaged or not of a student, or the engine is not installed.
    """

    def __init__(self, path: str | Path, engine: str) -> None:
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file, wanted a student's, made by tryon export")
        run, metadata = ENGINES[engine](Path(path))
        about = read_metadata(metadata, str(path))
        self.model: Any = _ExportedStudent(run, about)
        self.record = about.model if about.size is None else replace(about.model, size=about.size)
        self.device, self.precision = "cpu", "fp32"
        self.folder = None
        self._only_size = about.size

    def _work_size(self, full_size: Size) -> Size:
        return self._only_size or super()._work_size(full_size)


class _ExportedStudent:
    """What a student's forward pass is, from a file's."""

    def __init__(self, run: Run, about: ExportRecord) -> None:
        self.run, self.about = run, about

    def __call__(self, person: Person, garment: Garment) -> TryOnResult:
        size = person.photo.shape[2:]
        worked = self.about.size or padded_size(*size)
        inputs = (pad_to(image, worked).numpy() for image in (person.photo, garment.image, garment.mask))
        outputs = self.run(dict(zip(INPUTS, inputs, strict=True)))
        found = {name: torch.from_numpy(values) for name, values in zip(self.about.outputs, outputs, strict=True)}

        def cropped(name: str) -> Tensor:
            return found[name][:, :, : size[0], : size[1]]

        flow = AppearanceFlow((), cropped_map(found["sampling_map"], *size))
        return TryOnResult(
            Warped(flow, cropped("warped_garment"), cropped("warped_mask")),
            cropped("rendered"),
            cropped("composition"),
            cropped("copied") if "copied" in found else None,
            cropped("image"),
        )


def _by_onnxruntime(path: Path) -> tuple[Run, Mapping[str, str]]:
    try:
        import onnxruntime
    except ImportError:
        raise _missing("onnxruntime", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # has no class of its own that is documented
        raise _unreadable(path, error) from None
    return lambda inputs: session.run(None, inputs), session.get_modelmeta().custom_metadata_map


def _by_openvino(path: Path) -> tuple[Run, Mapping[str, str]]:
    try:
        import openvino
    except ImportError:
        raise _missing("openvino", "openvino") from None
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    try:
        model = openvino.Core().read_model(path)
        compiled = openvino.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    found = model.rt_info["framework"].items() if "framework" in model.rt_info else ()
    request = compiled.create_infer_request()
    return lambda inputs: list(request.infer(dict(inputs)).values()), {name: value.value for name, value in found}


def _missing(package: str, extra: str) -> InputError:
    return InputError(f"engine: {package} is not installed; pip install tryon-kernels[{extra}]")


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return InputError(f"{path}: cannot be read as an ONNX file ({reason})")


ENGINES = {"onnx": _by_onnxruntime, "openvino": _by_openvino}
