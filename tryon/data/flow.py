"""Appearance flow in files: for each pixel of a person's photo, which position of the product photo it shows."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tryon.data.images import Size
from tryon.errors import InputError


def read_flow(path: Path) -> Tensor:
    """Read an ``.npz`` file's ``source``: 2 x H x W float32, x and y in pixels of a product photo of that size.

    NaN where nothing is known.

    Raises:
        InputError: the file is damaged or holds something else; names it.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            source = arrays["source"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as a flow ({error})") from None
    if source.ndim != 3 or source.shape[0] != 2 or source.dtype.kind != "f":
        raise InputError(f"{path}: found {source.dtype} of shape {source.shape}, wanted numbers of shape 2 x H x W")
    return torch.from_numpy(source.astype(np.float32))


def resize_flow(source: Tensor, size: Size) -> Tensor:
    """Positions 2 x h x w for photos of another size, 2 x size: each pixel has what the nearest one has."""
    height, width = source.shape[-2:]
    if (height, width) == size:
        return source
    scale = torch.tensor((size[1] / width, size[0] / height)).view(2, 1, 1)
    return (F.interpolate(source[None], size=size, mode="nearest-exact")[0] + 0.5) * scale - 0.5
