"""How much of a tensor one program works on. None of these has been measured on a GPU yet.

GPUs differ where the machine code shows a reason: see `Family` and tests/triton.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

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


@dataclass(frozen=True)
class Family:
    """What differs between GPUs: warps of sampling and of a volume, and channels of a gradient of float32 maps."""

    warps: int
    gradient_channels: int


# From sm_80 to sm_120 machine code shows no reason for a difference. A gradient of float32 maps is multiplied without
# tensor cores: twice as many channels spill registers on sm_100 and sm_120, and on sm_80 and sm_86 of maps in planes.
NVIDIA = Family(warps=4, gradient_channels=16)
# 2 warps are the 128 lanes that tiles are made for. With 4, reads are 8 bytes a lane, and both halves of a volume's 16
# x 32 products are computed twice. Matrix cores multiply float32 too: 64 channels of a gradient are a product a warp.
CDNA = Family(warps=2, gradient_channels=64)

# Channels together: 16 bytes a lane along channels, and a pixel's position is read for 64 of them.
_TOGETHER = 64
# Adding to four taps by atomic operations takes many registers a number.
_ADDED = 32
_PIXELS = 16  # for a product the least that tensor cores take; more would multiply more pairs outside of the window
# Planes: a warp along pixels, so that neighbours' taps share lines; a few planes for each position.
_PLANES = SampleTile(pixels=128, channels=4, warps=4)

_CHANNELS = 64
_CHANNELS_OF_FLOAT32 = 32  # of a volume: 16 bytes a lane
# float64 is multiplied without tensor cores: all products of a step are in registers, beside samples for a volume.
_CHANNELS_OF_FLOAT64, _GRADIENT_CHANNELS_OF_FLOAT64 = 2, 4
_LEAST_COLUMNS = 32
_GRADIENT_WARPS = 4


@lru_cache
def family_of(device: torch.device) -> Family:
    """The family of a device's GPU; Triton's interpreter, on the CPU, takes NVIDIA's tiles, and so does AMD's RDNA."""
    if device.type == "cuda" and torch.version.hip:
        return CDNA if torch.cuda.get_device_properties(device).gcnArchName.startswith("gfx9") else NVIDIA
    return NVIDIA


def sample_tile(input: Tensor, adding: bool = False, family: Family | None = None) -> SampleTile:
    """The tile for images like this; `adding` to them by atomic operations, or reading them."""
    if input.stride(1) != 1 or input.shape[1] == 1:
        return _PLANES
    channels = _ADDED if adding else _TOGETHER
    if input.dtype == torch.float64:
        channels //= 2
    return SampleTile(_PIXELS, channels, (family or family_of(input.device)).warps)


def correlation_tile(
    features: Tensor, radius: int, gradient: bool = False, family: Family | None = None
) -> CorrelationTile:
    """The tile for features like these and a window of this radius, for the volume or for a gradient."""
    family = family or family_of(features.device)
    channels = features.shape[1]
    columns = _LEAST_COLUMNS
    while columns < _PIXELS + 2 * radius:
        columns *= 2
    warps = _GRADIENT_WARPS if gradient else family.warps
    if features.dtype == torch.float64:
        channels = _GRADIENT_CHANNELS_OF_FLOAT64 if gradient else _CHANNELS_OF_FLOAT64
        return CorrelationTile(_PIXELS, columns, channels, warps)
    most = _CHANNELS
    if features.dtype == torch.float32:
        most = family.gradient_channels if gradient else _CHANNELS_OF_FLOAT32
    return CorrelationTile(_PIXELS, columns, channels=most if channels > 16 else 16, warps=warps)
