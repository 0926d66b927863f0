"""What is measured: the cases, their tensors, and what each must at least compute and move."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

RADIUS = 3
NEGATIVE_SLOPE = 0.1  # of warp_correlation, as the flow network uses it; correlation is timed without

OPS = ("warp", "grid_sample", "correlation", "warp_correlation")
SAMPLERS = ("warp", "grid_sample")
PASSES = ("forward", "forward+backward")
BATCHES = (1, 4)
PYRAMID = ((8, 6), (16, 12), (32, 24), (64, 48), (128, 96))  # H x W of the features of a 256 x 192 photo
PYRAMID_CHANNELS = 256
IMAGES = ((256, 192), (1024, 768))
IMAGE_CHANNELS = 3
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CPU_DTYPES = ("fp32", "bf16")  # few CPUs compute with float16
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}

# Arithmetic of bilinear sampling, for one position and channel: four products and their sum; then, backward, four
# products added to the input's gradient, and four products of taps and gradient summed over channels.
SAMPLE_FLOPS = 4 + 3
SAMPLE_BACKWARD_FLOPS = 8 + 8


@dataclass(frozen=True)
class Case:
    """One operation on tensors of one shape, dtype and layout; timed forward, and forward with backward."""

    op: str
    batch: int
    channels: int
    height: int
    width: int
    dtype_name: str
    layout: str

    def __str__(self) -> str:
        return f"{self.op}-{self.shape}-{self.dtype_name}-{self.layout}"

    @property
    def shape(self) -> str:
        """Shape of the features."""
        return f"{self.batch}x{self.channels}x{self.height}x{self.width}"

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the features; positions are float32."""
        return DTYPES[self.dtype_name]

    @property
    def displacements(self) -> int:
        """Channels of the correlation volume."""
        return (2 * RADIUS + 1) ** 2

    def flops(self, passes: str) -> int:
        """Floating-point operations that no implementation can do without.

        A correlation needs one multiply-add for each channel and each pair of pixels of which both are inside, and
        each of its two gradients needs the same pairs again. What a backward pass computes again by choice
        does not count.
        """
        backward = passes == "forward+backward"
        pixels = self.batch * self.height * self.width
        sampling = self.channels * pixels * (SAMPLE_FLOPS + backward * SAMPLE_BACKWARD_FLOPS)
        pairs = math.prod(
            sum(max(size - abs(step), 0) for step in range(-RADIUS, RADIUS + 1)) for size in (self.height, self.width)
        )
        correlating = 2 * self.batch * self.channels * pairs * (3 if backward else 1)
        return {
            "warp": sampling,
            "grid_sample": sampling,
            "correlation": correlating,
            "warp_correlation": sampling + correlating,
        }[self.op]

    def bytes(self, passes: str) -> int:
        """Bytes that must be read or written: every input and output once forward and once backward.

        Forward reads the inputs and writes the output. Backward reads the output's gradient and the inputs and writes
        a gradient for each input; with a leaky ReLU it also reads the output, for its signs.
        """
        features = self.batch * self.channels * self.height * self.width * self.dtype.itemsize
        positions = self.batch * 2 * self.height * self.width * torch.float32.itemsize
        volume = self.batch * self.displacements * self.height * self.width * self.dtype.itemsize
        inputs, output, signs = {
            "warp": (features + positions, features, 0),
            "grid_sample": (features + positions, features, 0),
            "correlation": (2 * features, volume, 0),
            "warp_correlation": (2 * features + positions, volume, volume),
        }[self.op]
        forward = inputs + output
        return forward if passes == "forward" else forward + (output + inputs + inputs + signs)


def cases(
    dtype_names: Iterable[str],
    pyramid: Iterable[tuple[int, int]] = PYRAMID,
    channels: int = PYRAMID_CHANNELS,
    images: Iterable[tuple[int, int]] = IMAGES,
) -> list[Case]:
    """All operations on features of a pyramid, and the samplers on images too.

    Cases of one operation and size follow each other, for they share one reference.
    """
    shapes = [(channels, size, OPS) for size in pyramid] + [(IMAGE_CHANNELS, size, SAMPLERS) for size in images]
    return [
        Case(op, batch, depth, *size, dtype_name, layout)
        for op in OPS
        for depth, size, ops in shapes
        if op in ops
        for dtype_name in dtype_names
        for layout in LAYOUTS
        for batch in BATCHES
    ]


CASES = cases(CPU_DTYPES)


class Inputs:
    """Tensors of all cases of one operation and size, in the largest batch; a smaller one is its beginning.

    Features are random numbers in (-1, 1) that bfloat16 and float16 can hold, so one float64 reference serves every
    dtype: whole multiples of 2^-23 with eight significant bits.
    Positions come from a smooth flow of a tenth of the image, part of which leaves it, and keep a distance of 0.1 from
    whole numbers, where the gradient by a position jumps and rounding would decide its side. For the same reason
    warp_correlation's features have one sign in each half of the image: its values, which a leaky ReLU takes, then lie
    far from zero, some below and some above.
    """

    def __init__(self, op: str, channels: int, height: int, width: int) -> None:
        self.op, self.channels, self.height, self.width = op, channels, height, width
        self._random = torch.Generator().manual_seed(0)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """Arguments of the operation, in its order, float32."""
        if self.op == "warp":
            return self._features(), self._positions() - self._pixels()
        if self.op == "grid_sample":
            return self._features(), self._grid()
        if self.op == "correlation":
            return self._features(), self._features()
        side = (self._pixels()[0] >= self.width / 2) * 2 - 1
        return self._features().abs() * side, self._features().abs(), self._grid()

    @cached_property
    def output_gradient(self) -> Tensor:
        """A gradient of the output, float32."""
        channels = self.channels if self.op in SAMPLERS else (2 * RADIUS + 1) ** 2
        return self._features(channels)

    def _features(self, channels: int | None = None) -> Tensor:
        shape = (max(BATCHES), channels or self.channels, self.height, self.width)
        return (torch.rand(shape, generator=self._random) * 2 - 1).bfloat16().float()

    def _pixels(self) -> Tensor:
        """2 x H x W: column and row of every pixel."""
        rows, columns = torch.meshgrid(torch.arange(self.height), torch.arange(self.width), indexing="ij")
        return torch.stack([columns, rows]).float()

    def _positions(self) -> Tensor:
        """N x 2 x H x W pixel positions to sample at."""
        columns, rows = self._pixels()
        phase = torch.arange(max(BATCHES)).view(-1, 1, 1)
        wave = torch.stack(
            [
                torch.sin(2 * math.pi * rows / self.height + phase) * self.width,
                torch.cos(2 * math.pi * columns / self.width + phase) * self.height,
            ],
            dim=1,
        )
        fraction = torch.rand(wave.shape, generator=self._random) * 0.8 + 0.1
        return (self._pixels() + 0.1 * wave).floor() + fraction

    def _grid(self) -> Tensor:
        """N x H x W x 2 positions, -1 and 1 at the outer pixels' centres."""
        span = torch.tensor([self.width - 1.0, self.height - 1.0])
        return (self._positions().permute(0, 2, 3, 1) * 2 / span - 1).contiguous()
