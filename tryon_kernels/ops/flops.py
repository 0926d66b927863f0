"""What `torch.utils.flop_counter` counts for each op: as torch does for its own, a multiplication and addition as two.

Only the terms with a factor of the channels are counted. What a backward op computes again is not: a fused op counts as
the ops that it stands for. Products with the zeros outside of a map count, as those with a convolution's padding do.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from tryon_kernels import private
from tryon_kernels.ops import correlation, grid_sample, warp, warp_correlation  # noqa: F401 (they define the ops)

TAPS = 4  # pixels that a bilinear sample is made of
_ops = torch.ops.tryon_kernels
Shape = Sequence[int]


def _sampling(sampled: Shape) -> int:
    """Weights times taps of a sampled map: N x C x Ho x Wo."""
    return 2 * TAPS * prod(sampled)


def _correlation(volume: Shape, channels: int) -> int:
    """Products of all displacements in a volume, N x (2 radius + 1)^2 x Ho x Wo."""
    return 2 * prod(volume) * channels


@private.flop_formula(_ops.warp, _ops.grid_sample)
def _sampling_forward(*_: Any, out_shape: Shape) -> int:
    return _sampling(out_shape)


@private.flop_formula(_ops.warp_backward, _ops.grid_sample_backward)
def _sampling_backward(grad_output: Shape, *arguments: Any, out_shape: Any) -> int:
    """To each gradient needed, that of the taps or of their weights, goes a product for each tap."""
    return sum(arguments[-2:]) * _sampling(grad_output)


@private.flop_formula(_ops.correlation)
def _correlation_forward(first: Shape, *_: Any, out_shape: Shape) -> int:
    return _correlation(out_shape, first[1])


@private.flop_formula(_ops.correlation_backward)
def _correlation_backward(grad_output: Shape, first: Shape, *arguments: Any, out_shape: Any) -> int:
    return sum(arguments[-2:]) * _correlation(grad_output, first[1])


@private.flop_formula(_ops.warp_correlation)
def _warp_correlation_forward(first: Shape, second: Shape, *_: Any, out_shape: Shape) -> int:
    return _sampling(second) + _correlation(out_shape, first[1])


@private.flop_formula(_ops.warp_correlation_backward)
def _warp_correlation_backward(grad_output: Shape, first: Shape, second: Shape, *arguments: Any, out_shape: Any) -> int:
    """The gradients of `first` and `grid` both come from the sampled map's, which is made once."""
    first_needed, second_needed, grid_needed = arguments[-3:]
    volumes = (first_needed or grid_needed) + second_needed
    return volumes * _correlation(grad_output, first[1]) + (first_needed + grid_needed) * _sampling(second)
