"""ONNX files that a user has: how pictures go into them, and what comes out."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon.data.images import Size
from tryon.errors import InputError

Values = NDArray[np.float32]
EXTRA = "tryon-kernels[prepare]"


@dataclass(frozen=True)
class Normalisation:
    """What of a picture of levels 0 to 1 a network sees: (level - mean) / deviation, by channel in its own order."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    blue_first: bool = False


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HALF = (0.5, 0.5, 0.5)
NORMALISATIONS = {
    "imagenet": Normalisation(_MEAN, _DEVIATION),
    "imagenet-bgr": Normalisation(_MEAN[::-1], _DEVIATION[::-1], blue_first=True),
    "half": Normalisation(_HALF, _HALF),
    "unit": Normalisation((0, 0, 0), (1, 1, 1)),
    "openpose": Normalisation(_HALF, (1, 1, 1), blue_first=True),
}
"""By name: RGB or BGR with ImageNet's statistics (RTMPose; SCHP), RGB to -1..1 and to 0..1, BGR to -0.5..0.5."""


class Network:
    """An ONNX file of one float32 picture input, N x 3 x H x W, run by onnxruntime on the CPU.

    Args:
        path: the file.
        normalisation: name of one of `NORMALISATIONS`.
        free_size: height and width of the input where the file leaves them open.

    Attributes:
        size: height and width of the input.

    Raises:
        InputError: onnxruntime is not installed, or the file cannot be read or has another input.
    """

    def __init__(self, path: Path, normalisation: str, free_size: Size) -> None:
        try:
            runtime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise InputError(f"{path}: found no onnxruntime to run it; pip install {EXTRA}") from None
        if not path.is_file():
            raise InputError(f"{path}: no such file, wanted an ONNX network")
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has an exception of its own for each way in which a file can be bad
            raise InputError(f"{path}: cannot be read as an ONNX network ({_first_line(error)})") from None
        self.path = path
        self._normalisation = NORMALISATIONS[normalisation]
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{one.type} {one.shape}" for one in inputs)
            raise InputError(f"{path}: found the input {found}, wanted one picture: tensor(float) [1, 3, H, W]")
        height, width = (
            side if isinstance(side, int) else free for side, free in zip(shape[2:], free_size, strict=True)
        )
        self.size: Size = height, width

    def __call__(self, picture: Image.Image) -> dict[str, NDArray[Any]]:
        """Outputs by name, of one RGB picture of `size`. Raises InputError where the network fails."""
        levels = np.asarray(picture, dtype=np.float32) / 255
        if self._normalisation.blue_first:
            levels = levels[:, :, ::-1]
        mean, deviation = (
            np.array(part, np.float32) for part in (self._normalisation.mean, self._normalisation.deviation)
        )
        values = ((levels - mean) / deviation).transpose(2, 0, 1)[None]
        names = [one.name for one in self._session.get_outputs()]
        try:
            outputs = self._session.run(names, {self._session.get_inputs()[0].name: np.ascontiguousarray(values)})
        except Exception as error:
            raise InputError(f"{self.path}: failed ({_first_line(error)})") from None
        return dict(zip(names, outputs, strict=True))


def shapes_of(outputs: dict[str, NDArray[Any]]) -> str:
    """Names and shapes of outputs, for an error."""
    return ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
