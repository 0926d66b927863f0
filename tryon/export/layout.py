"""What an exported student takes and gives, and what its file says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tryon.data.images import Size, format_size, parse_size
from tryon.errors import InputError
from tryon.weights import ModelRecord

FORMAT = 1
DYNAMIC = "dynamic"

INPUTS = {
    "person": "N x 3 x H x W float32, RGB in [-1, 1]: a photo of a person",
    "garment": "N x 3 x H x W float32, RGB in [-1, 1]: a product photo",
    "garment_mask": "N x 1 x H x W float32: above 0.5 on the garment",
}
OUTPUTS = {
    "image": "N x 3 x H x W float32, RGB in [-1, 1]: the person in the garment",
    "warped_garment": "N x 3 x H x W float32, RGB in [-1, 1]: the garment as it lies on the person",
    "warped_mask": "N x 1 x H x W float32 in [0, 1]: where that garment is",
    "composition": "N x 1 x H x W float32 in [0, 1]: how much of the warped garment shows in the image",
    "rendered": "N x 3 x H x W float32, RGB in [-1, 1]: what is painted around it",
    "sampling_map": "N x 2 x H x W float32: x and y in the garment that each pixel shows; -1 and 1 are the centres of"
    " the outer pixels",
    "copied": "N x 1 x H x W float32 in [0, 1]: how much of what is painted is the photo's",
}
"""In this order; `copied` only of a student with a copy mask."""


@dataclass(frozen=True)
class ExportRecord:
    """What an exported file says of itself.

    Attributes:
        model: record of the model folder that it was made of.
        size: (height, width) of its inputs, or None where they may have any multiples of 32 from 64 on.
        half: whether its weights are float16.
        version: of this package.
    """

    model: ModelRecord
    size: Size | None
    half: bool
    version: str

    @property
    def outputs(self) -> list[str]:
        """Names of the file's outputs, in their order."""
        return [name for name in OUTPUTS if name != "copied" or self.model.copy_mask]

    def metadata(self) -> dict[str, str]:
        """The record as ONNX keeps it: texts under names."""
        return {
            "tryon.format": str(FORMAT),
            "tryon.version": self.version,
            "tryon.size": DYNAMIC if self.size is None else format_size(self.size),
            "tryon.weights": "float16" if self.half else "float32",
            "tryon.inputs": json.dumps(INPUTS),
            "tryon.outputs": json.dumps({name: OUTPUTS[name] for name in self.outputs}),
            "tryon.model": json.dumps(asdict(self.model)),
        }


def read_metadata(metadata: Mapping[str, str], name: str) -> ExportRecord:
    """The record of a file's metadata. Raises InputError, which begins with `name`, where it is not one of ours."""
    if "tryon.format" not in metadata:
        raise InputError(f"{name}: found no record of a student, wanted a file made by tryon export")
    if metadata["tryon.format"] != str(FORMAT):
        raise InputError(f"{name}: found format {metadata['tryon.format']}, wanted {FORMAT}")
    try:
        values: dict[str, Any] = json.loads(metadata["tryon.model"])
        values["size"] = tuple(values["size"])
        size = metadata["tryon.size"]
        return ExportRecord(
            ModelRecord(**values),
            None if size == DYNAMIC else parse_size(size),
            metadata["tryon.weights"] == "float16",
            metadata["tryon.version"],
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{name}: found a damaged record of a student ({error!r})") from None
