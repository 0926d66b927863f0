"""DensePose part indices, in each of the forms that data sets keep them in."""

from __future__ import annotations

from enum import Enum
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tryon.data.images import read_image, upright
from tryon.data.labels import DENSEPOSE_PARTS
from tryon.errors import InputError

Pixels = NDArray[np.uint8]

PALETTE = np.array(
    [
        (0, 0, 0),
        *((37, 60, 163), (20, 80, 194), (4, 97, 223), (8, 110, 221), (14, 122, 216), (20, 132, 212)),
        *((15, 144, 208), (11, 156, 203), (6, 166, 198), (22, 173, 185), (38, 179, 172), (55, 185, 159)),
        *((86, 187, 144), (114, 189, 130), (145, 191, 116), (170, 189, 105), (192, 188, 96), (216, 186, 86)),
        *((228, 192, 74), (240, 199, 60), (252, 206, 46), (251, 220, 36), (250, 235, 25), (249, 251, 14)),
    ],
    dtype=np.uint8,
)
"""Colour of each part: OpenCV's PARULA at part x 255/24, as DensePose's segmentation is shown, on black."""

_SURE = 10.0  # grey levels from a part's colour; further off it is more often a blend than that part
_DARK = 48  # grey levels; JPEG's ringing in the black beside a person is below, every part's brightest channel above
_UNSURE = 255
_BIN = 4  # grey levels that the table of colours takes together
_PLAUSIBLE = 0.5  # share of a person's pixels that must be sure


class Form(Enum):
    """What the channels of a DensePose picture are."""

    COLOURS = "DensePose's segmentation in OpenCV's PARULA on black"
    IUV = "part index and coordinates"


def read_densepose(path: Path, form: Form | None = None) -> Tensor:
    """Read DensePose part indices: H x W int64, 0..24.

    Args:
        path: a ``.npy`` array of indices, or a picture. One channel is indices.
        form: what three channels are. Of part index and coordinates, the index is the blue channel, as OpenCV writes
            it, or the red one: the one that has no value above 24.

    Raises:
        InputError: the file cannot be read, or holds something else; names it.
    """
    if path.suffix.lower() == ".npy":
        return _checked(_read_array(path), path)
    image = upright(read_image(path), str(path))
    if image.mode in ("L", "P", "I", "I;16"):
        return _checked(np.asarray(image), path)
    if image.mode != "RGB" or form is None:
        wanted = "one channel of part indices" + ("" if form is None else f", or RGB: {form.value}")
        raise InputError(f"{path}: found an image of mode {image.mode}, wanted {wanted}")
    pixels = np.asarray(image)
    return _checked(_from_colours(pixels, path) if form is Form.COLOURS else _from_iuv(pixels, path), path)


def _read_array(path: Path) -> NDArray[np.generic]:
    try:
        parts = np.lib.format.read_array(BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception as error:  # a damaged file fails in whatever way its bytes happen to
        raise InputError(f"{path}: cannot be read as a NumPy array ({error})") from None
    if parts.ndim != 2 or parts.dtype.kind not in "iu":
        raise InputError(f"{path}: found {parts.dtype} of shape {parts.shape}, wanted integers of shape H x W")
    return parts


def _checked(parts: NDArray[np.generic], path: Path) -> Tensor:
    labels = parts.astype(np.int64)
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < DENSEPOSE_PARTS:
        raise InputError(f"{path}: found part {int(labels.max())}, wanted 0..{DENSEPOSE_PARTS - 1}")
    return torch.from_numpy(labels)


def _from_iuv(pixels: Pixels, path: Path) -> Pixels:
    for channel in (2, 0):
        if pixels[:, :, channel].max() < DENSEPOSE_PARTS:
            return pixels[:, :, channel]
    raise InputError(f"{path}: found no channel of part indices (0..{DENSEPOSE_PARTS - 1}), wanted {Form.IUV.value}")


def _from_colours(pixels: Pixels, path: Path) -> Pixels:
    """The nearest colour's part; what JPEG has blurred along borders takes the part beside it."""
    bins = pixels // _BIN
    parts = _table()[bins[:, :, 0], bins[:, :, 1], bins[:, :, 2]]
    sure = np.count_nonzero((parts > 0) & (parts != _UNSURE))
    unsure = np.count_nonzero(parts == _UNSURE)
    if sure < _PLAUSIBLE * (sure + unsure):
        raise InputError(
            f"{path}: found {unsure / (sure + unsure):.0%} of the person in colours that no part has,"
            f" wanted {Form.COLOURS.value}"
        )
    return _grown(parts)


@cache
def _table() -> Pixels:
    """Part of each colour, in bins of `_BIN` levels; `_UNSURE` where none is near."""
    middles = np.arange(0, 256, _BIN, dtype=np.float32) + (_BIN - 1) / 2
    colours = np.stack(np.meshgrid(middles, middles, middles, indexing="ij"), axis=-1)
    distances = np.stack([np.linalg.norm(colours - colour.astype(np.float32), axis=-1) for colour in PALETTE])
    parts = np.where(distances.min(axis=0) <= _SURE, distances.argmin(axis=0), _UNSURE).astype(np.uint8)
    parts[colours.max(axis=-1) < _DARK] = 0
    return parts


def _grown(parts: Pixels) -> Pixels:
    """Let sure parts grow into what is unsure, a pixel at a time in each direction."""
    parts = parts.copy()
    while (parts == _UNSURE).any():
        before = parts.copy()
        for here, beside in ((np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:])):
            for to, start in ((here, beside), ((np.s_[:], here), (np.s_[:], beside))):
                np.copyto(parts[to], before[start], where=parts[to] == _UNSURE)
    return parts
