"""How much of a tensor one program works on. None of these has been measured on a GPU yet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SampleTile:
    """Output pixels and channels of one program, and the warps that share them."""

    pixels: int
    channels: int
    warps: int


@dataclass(frozen=True)
class CorrelationTile:
    """Pixels of a row, columns around them, and channels at a time; `columns` holds pixels + 2 radius."""

    pixels: int
    columns: int
    channels: int
    warps: int


# Channels together: 16 bytes a thread along channels, and a pixel's position is read for 64 of them.
_CHANNELS_TOGETHER = SampleTile(pixels=16, channels=64, warps=4)
# Adding to four taps by atomic operations takes many registers a number, as 64-bit integers most of all.
_ADDING = SampleTile(pixels=16, channels=32, warps=4)
# Planes: a warp along pixels, so that neighbours' taps share lines; a few planes for each position.
_PLANES = SampleTile(pixels=128, channels=4, warps=4)

_CHANNELS = 64
# float32 is multiplied without tensor cores, operands in registers: with twice as many, the gradients spill on sm_100.
_CHANNELS_OF_FLOAT32, _CHANNELS_OF_GRADIENTS = 32, 16
_PIXELS = 16  # the least that tensor cores take; more would multiply more pairs that are not in the window
_LEAST_COLUMNS = 32


def sample_tile(input: Tensor, adding: bool = False) -> SampleTile:
    """The tile for images like this; `adding` to them by atomic operations, or reading them."""
    if input.stride(1) != 1 or input.shape[1] == 1:
        return _PLANES
    return _ADDING if adding else _CHANNELS_TOGETHER


def correlation_tile(features: Tensor, radius: int, gradient: bool = False) -> CorrelationTile:
    """The tile for features like these and a window of this radius, for the volume or for a gradient."""
    channels = features.shape[1]
    columns = _LEAST_COLUMNS
    while columns < _PIXELS + 2 * radius:
        columns *= 2
    if features.dtype == torch.float64:  # multiplied without tensor cores: all products of a step are in registers
        return CorrelationTile(_PIXELS, columns, channels=4, warps=4)
    most = _CHANNELS
    if features.dtype == torch.float32:
        most = _CHANNELS_OF_GRADIENTS if gradient else _CHANNELS_OF_FLOAT32
    return CorrelationTile(_PIXELS, columns, channels=most if channels > 16 else 16, warps=4)
