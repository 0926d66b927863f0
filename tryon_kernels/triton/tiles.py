"""How much of a tensor one program works on.

GPUs differ where the machine code shows a reason: see `Family` and tests/triton.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class SampleTile:
    """Output pixels and channels of one program, the warps that share them, and how often it takes so many channels."""

    pixels: int
    channels: int
    warps: int
    steps: int = 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """What the kernels are compiled for."""
        return self.pixels, self.channels, self.steps

    def grid(self, pixels: int, channels: int, images: int) -> tuple[int, int]:
        """Programs: of all images along the first axis, which alone may be longer than `LONGEST_AXIS`."""
        return -(-pixels // self.pixels) * images, -(-channels // (self.channels * self.steps))


@dataclass(frozen=True)
class CorrelationTile:
    """Centres of one program, rows x columns; pixels around them, down x across, powers of two; channels at a time.

    `stages` are the channels' steps whose reads are under way at a time.
    """

    rows: int
    columns: int
    down: int
    across: int
    channels: int
    warps: int
    stages: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """What the kernels are compiled for."""
        return self.rows, self.columns, self.down, self.across, self.channels

    def count(self, features: Tensor) -> int:
        """Tiles of all images."""
        count, _, height, width = features.shape
        return count * -(-height // self.rows) * -(-width // self.columns)

    def parts(self, side: int) -> int:
        """Parts of a window of side x side displacements that a tile sees one after the other."""
        return -(-side // (self.down - self.rows + 1)) * -(-side // (self.across - self.columns + 1))

    def shared_out(self, features: Tensor) -> tuple[int, int]:
        """Programs that share a tile's channels, and steps of channels that each has: so that all are at work."""
        chunks = -(-features.shape[1] // self.channels)
        wanted = -(-ENOUGH_PROGRAMS * multiprocessors(features.device) // self.count(features))
        steps = -(-chunks // wanted)
        return -(-chunks // steps), steps


@dataclass(frozen=True)
class Family:
    """What differs between GPUs.

    Warps of sampling; steps of channels under way; tiles of gradients of half formats, with leaky ReLU and without, and
    of float32.
    """

    warps: int
    volume_stages: int
    leaky_half_gradient: CorrelationTile
    half_gradient: CorrelationTile
    float32_gradient: CorrelationTile


# Channels together: 16 bytes a lane along channels, and a pixel's position is read for 64 of them.
_TOGETHER = 64
# Adding to four taps by atomic operations takes many registers a number.
_ADDED = 32
_PIXELS = 16
# Planes: a warp along pixels, so that neighbours' taps share lines. A thread has a pixel and goes through a few planes:
# beside one another, 128 x 4, they make Triton hand each tap's place from thread to thread. Likewise few channels that
# lie together, a photo's say: of 64 most would not be there.
_PLANE_PIXELS, _PLANES = 128, 4
FEW = 16
LONGEST_AXIS = 65_535  # of a grid in CUDA, but for its first

# Correlation: 8 x 8 centres are the 64 rows of Hopper's and Blackwell's widest matrix instructions, and what a tile
# reads around itself is 3 times the tile (radius 3). The leaky gradient of a half format is two products, of 4 x 8
# centres each. Where float32 is multiplied as three products, or without tensor cores, arithmetic is what takes long:
# of 2 x 8 centres times 8 x 16 neighbours more are in the window.
_WIDE, _HALF_AS_WIDE, _NARROW = (8, 8, 16, 16), (4, 8, 16, 16), (2, 8, 8, 16)
_FLOAT64_GRADIENT = CorrelationTile(*_NARROW, channels=16, warps=4, stages=2)
# Programs on a multiprocessor, of which gradients share out the channels of small maps.
ENOUGH_PROGRAMS = 2

NVIDIA = Family(
    warps=4,
    volume_stages=3,
    leaky_half_gradient=CorrelationTile(*_HALF_AS_WIDE, channels=32, warps=8, stages=2),
    half_gradient=CorrelationTile(*_WIDE, channels=32, warps=8, stages=2),
    float32_gradient=CorrelationTile(*_NARROW, channels=32, warps=4, stages=2),
)
# AMD's. 2 warps are the 128 lanes that sampling's tiles are made for. Matrix cores multiply float32 exactly, 16 rows at
# a time; a matrix of 64 x 256 weights spills registers.
CDNA = Family(
    warps=2,
    volume_stages=2,
    leaky_half_gradient=CorrelationTile(*_NARROW, channels=32, warps=4, stages=2),
    half_gradient=CorrelationTile(*_NARROW, channels=32, warps=4, stages=2),
    float32_gradient=CorrelationTile(*_NARROW, channels=16, warps=4, stages=2),
)


@lru_cache
def family_of(device: torch.device) -> Family:
    """The family of a device's GPU; Triton's interpreter, on the CPU, takes NVIDIA's tiles, and so does AMD's RDNA."""
    if device.type == "cuda" and torch.version.hip:
        return CDNA if torch.cuda.get_device_properties(device).gcnArchName.startswith("gfx9") else NVIDIA
    return NVIDIA


@lru_cache
def multiprocessors(device: torch.device) -> int:
    """Of a device's GPU; Triton's interpreter has one program at a time."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def sample_tile(input: Tensor, adding: bool = False, family: Family | None = None) -> SampleTile:
    """The tile for images like this; `adding` to them by atomic operations, or reading them."""
    warps = (family or family_of(input.device)).warps
    if input.stride(1) != 1 or input.shape[1] < FEW:
        return SampleTile(_PLANE_PIXELS, 1, warps, steps=_PLANES)
    channels = _ADDED if adding else _TOGETHER
    if input.dtype == torch.float64:
        channels //= 2
    return SampleTile(_PIXELS, channels, warps)


def volume_tile(features: Tensor, family: Family | None = None) -> CorrelationTile:
    """The tile of a volume of features like these."""
    stages = (family or family_of(features.device)).volume_stages
    if features.dtype.itemsize == 2:
        together = features.stride(1) == 1  # else each number that is read has an address of its own
        return CorrelationTile(*_WIDE, channels=32 if together else 16, warps=8, stages=stages)
    if features.dtype == torch.float64:  # Triton 3.6 wants products of 16 channels at least, twice as many bytes
        stages = 2
    return CorrelationTile(*_NARROW, channels=16, warps=4, stages=stages)


def gradient_tile(features: Tensor, leaky: bool, family: Family | None = None) -> CorrelationTile:
    """The tile of a gradient, from features like these and a volume with leaky ReLU or without."""
    family = family or family_of(features.device)
    if features.dtype == torch.float64:
        return _FLOAT64_GRADIENT
    if features.dtype == torch.float32:
        return family.float32_gradient
    return family.leaky_half_gradient if leaky else family.half_gradient
