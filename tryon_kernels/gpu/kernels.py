"""What a set of GPU kernels offers: five launches, from which the ops are made."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

# What positions mean: displacements in pixels from the output pixel's own place, or normalised, -1 and 1 being the
# outer pixels' centres or their outer edges.
PIXEL_OFFSETS, CORNERS_ALIGNED, EDGES_ALIGNED = range(3)


class Kernels(Protocol):
    """Kernels that write to tensors given to them; none of these is empty.

    Features are N x C x H x W, positions N x 2 x Ho x Wo of float32 (float64 with float64 features), all of any
    strides; `coordinates` says what positions mean, `border` whether what lies outside is the nearest pixel (else 0).
    A volume is N x (2 radius + 1)^2 x H x W.
    """

    def sample(self, input: Tensor, positions: Tensor, output: Tensor, coordinates: int, border: bool) -> None:
        """Write the input, sampled at positions, to the output: N x C x Ho x Wo."""

    def differentiate_positions(
        self,
        grad_output: Tensor,
        input: Tensor,
        positions: Tensor,
        grad_positions: Tensor,
        coordinates: int,
        border: bool,
    ) -> None:
        """Write the positions' gradient."""

    def differentiate_input(
        self, grad_output: Tensor, positions: Tensor, sums: Tensor, unusual: Tensor | None, scale: Tensor | None,
        coordinates: int, border: bool,
    ) -> None:  # fmt: skip
        """Add the input's gradient to `sums`, N x C x H x W of the wide dtype.

        With a scale (one float64 number, a power of two), to int64 multiples of 1 / scale; what is not finite is noted
        in `unusual` (int32): 1 for infinity, 2 for minus infinity, 3 for what is no number or for both.
        """

    def multiply(
        self, first: Tensor, second: Tensor, positions: Tensor | None, volume: Tensor, scale: float,
        negative_slope: float | None, coordinates: int, border: bool,
    ) -> None:  # fmt: skip
        """Write the volume of the first map, or of that sampled at positions, with the second one.

        Its values are sums over channels, times `scale`: 1 / channels makes them means.
        """

    def gather(
        self, grad_volume: Tensor, volume: Tensor | None, other: Tensor, positions: Tensor | None, gradient: Tensor,
        scale: float, negative_slope: float | None, mirrored: bool, coordinates: int, border: bool,
    ) -> None:  # fmt: skip
        """Write one map's gradient from the other map, or from that sampled at positions; the second's if mirrored.

        `volume` is given where there is a negative slope: its sign says which of the two slopes a value took.
        `scale` is that of the volume.
        """
