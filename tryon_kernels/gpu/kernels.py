"""What a set of GPU kernels offers: ten launches, from which the ops are made."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

# What positions mean: displacements in pixels from the output pixel's own place, or normalised, -1 and 1 being the
# outer pixels' centres or their outer edges.
PIXEL_OFFSETS, CORNERS_ALIGNED, EDGES_ALIGNED = range(3)

DISTANCES = 2048  # of features from a target, that are added up by one program or block
CHUNK = 64  # places of the order in which a gradient is added up whose sums are made beforehand


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
        self, grad_output: Tensor, positions: Tensor, sums: Tensor, coordinates: int, border: bool
    ) -> None:
        """Add the input's gradient to `sums`, N x C x H x W of the wide dtype, in whichever order."""

    def find_cells(
        self, positions: Tensor, cells: Tensor, fractions: Tensor, height: int, width: int, outside: int,
        coordinates: int, border: bool,
    ) -> None:  # fmt: skip
        """Write in which cell of an image of height x width each output pixel's position lies, and where in it.

        See `tryon_kernels.gpu.cells`. `cells` (int32) is P = N * Ho * Wo, `outside` where no tap is within the image;
        `fractions`, of the positions' dtype, is P x 2: of the way to the right and of that down.
        """

    def order_samples(
        self, grad_output: Tensor, cells: Tensor, order: Tensor, fractions: Tensor, ordered_fractions: Tensor,
        places: Tensor, sums: Tensor, outside: int,
    ) -> None:  # fmt: skip
        """Write what `sum_cells` wants of the output pixels, sorted by their cells.

        `cells` is sorted here; `order` (int64) says of which output pixel each is. `places` (int32), P x 2, is its
        column and row. `sums`, of the wide dtype, is ceil(P / CHUNK) x 4 x C, and is written for each whole chunk that
        is in one cell: what it gives to the upper left, upper right, lower left and lower right tap.
        """

    def sum_cells(
        self, grad_output: Tensor, starts: Tensor, fractions: Tensor, places: Tensor, sums: Tensor, gradient: Tensor
    ) -> None:
        """Write the input's gradient: of each pixel the sum of what the four cells around it give.

        The output pixels of cell k are those from `starts[k]` (int32) to before `starts[k + 1]`.
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

    def measure(self, features: Tensor, target: Tensor, activated: Tensor | None, sums: Tensor) -> None:
        """Write features after ReLU, where `activated` is given, and sums of their distances from a target.

        The first three are of one dtype, dense and in one order, as those below are. `sums`, of the wide dtype, is one
        for each `DISTANCES` numbers in that order.
        """

    def differentiate_distance(
        self, grad_activated: Tensor | None, grad_distance: Tensor | None, activated: Tensor, target: Tensor,
        relu: bool, grad_features: Tensor | None, grad_target: Tensor | None,
    ) -> None:  # fmt: skip
        """Write the gradients that are given, from those of the results that there are.

        `grad_distance`, a scalar of the wide dtype, is that of the mean distance; without it the target is not read.
        """
