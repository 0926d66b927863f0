"""Human parsing: label maps of other schemes to LIP's, and parsers that are ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from tryon.data.images import Size
from tryon.errors import InputError
from tryon.prepare.networks import Network, shapes_of

Labels = NDArray[np.uint8]

LIP_NAMES = (
    *("background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "trousers"),
    *("neck", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe", "right-shoe"),
)
"""LIP's labels as try-on sets have them: 10, LIP's jumpsuits, is the neck."""
FACE = LIP_NAMES.index("face")
_DRESS = LIP_NAMES.index("dress")
_INPUT_SIDES = {"lip": 473, "atr": 512}
_ATR_NAMES = (
    *("background", "hat", "hair", "sunglasses", "upper-clothes", "skirt", "trousers", "dress", "trousers"),
    *("left-shoe", "right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "glove", "scarf"),
)
SCHEMES = {
    "lip": (*range(10), _DRESS, *range(11, 20)),
    "lip-neck": tuple(range(20)),
    "atr": tuple(map(LIP_NAMES.index, _ATR_NAMES)),
}
"""LIP labels by label: LIP's own, whose jumpsuits are dresses; those of try-on sets; ATR's, whose belts are trousers
and whose bags are kept as gloves are."""


def read_scheme(name: str) -> tuple[int, ...]:
    """LIP labels by label: of one of `SCHEMES`, or of a file with a LIP name a line, the first for label 0.

    Raises:
        InputError: neither a scheme nor a file that can be read, or a name that is not LIP's.
    """
    if name in SCHEMES:
        return SCHEMES[name]
    try:
        lines = Path(name).read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--labels: found {name}, wanted {', '.join(SCHEMES)}, or a file of names ({error})") from None
    if unknown := [line for line in lines if line not in LIP_NAMES]:
        raise InputError(f"{name}: found {unknown[0]!r}, wanted a line for each label, of {', '.join(LIP_NAMES)}")
    if not lines:
        raise InputError(f"{name}: found no name, wanted a line for each label")
    return tuple(map(LIP_NAMES.index, lines))


def as_lip(labels: NDArray[np.integer], scheme: tuple[int, ...], name: str) -> Labels:
    """A label map with LIP's labels in the place of a scheme's. Raises InputError for a label that it has not got."""
    if (highest := int(labels.max())) >= len(scheme):
        raise InputError(f"{name}: found label {highest}, wanted 0..{len(scheme) - 1} (--labels)")
    return np.array(scheme, np.uint8)[labels]


class Parser:
    """A parser that is an ONNX file.

    Its picture is laid into the input with its proportions kept, in the middle, black around. Of its outputs the last
    that has a channel for each label counts: SCHP's exports have parsing, fusion and edges.

    Args:
        path: the file; input N x 3 x H x W, 473 x 473 (512 x 512 with ATR's labels) where it leaves the size open;
            output N x labels x h x w.
        scheme: `read_scheme`.
        normalisation: name of one of `tryon.prepare.networks.NORMALISATIONS`; SCHP's is "imagenet-bgr".
    """

    def __init__(self, path: Path, scheme: tuple[int, ...], normalisation: str) -> None:
        side = _INPUT_SIDES["atr" if scheme == SCHEMES["atr"] else "lip"]
        self._network = Network(path, normalisation, (side, side))
        self._scheme = scheme

    def __call__(self, photo: Image.Image, size: Size) -> Labels:
        """LIP labels of a photo, at a size of its proportions."""
        height, width = self._network.size
        scale = min(height / photo.height, width / photo.width)
        inner = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        canvas = Image.new("RGB", (width, height))
        canvas.paste(photo.resize(inner[::-1], Image.Resampling.BILINEAR), (left, top))
        scores = F.interpolate(self._scores(canvas), size=(height, width), mode="bilinear", align_corners=True)
        scores = scores[:, :, top : top + inner[0], left : left + inner[1]]
        scores = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
        return as_lip(scores[0].argmax(dim=0).numpy(), self._scheme, str(self._network.path))

    def _scores(self, picture: Image.Image) -> torch.Tensor:
        outputs = self._network(picture)
        fitting = [value for value in outputs.values() if value.ndim == 4 and value.shape[:2] == (1, len(self._scheme))]
        if not fitting:
            raise InputError(
                f"{self._network.path}: found the outputs {shapes_of(outputs)}, wanted 1 x {len(self._scheme)} x h x w:"
                f" a channel for each label (--labels)"
            )
        return torch.from_numpy(np.asarray(fitting[-1], np.float32))
