"""The stock forms under torch.compile, with symbolic sizes, so that each is compiled once for a layout and a pass.

The correlation's 49 products are compiled a row of seven at a time: as a whole they take minutes to compile, and run no
faster. Only float32 is compiled, for the same reason.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.inputs import NEGATIVE_SLOPE, RADIUS
from benchmarks.operations import STOCK, Operation

torch._dynamo.config.recompile_limit = 64  # layouts, passes and batches of one are graphs of their own

STEPS = range(2 * RADIUS + 1)


def _row(first: Tensor, padded: Tensor) -> Tensor:
    """The volume's channels of one vertical displacement; `padded` has the rows and more columns."""
    width = first.shape[3]
    return torch.stack([(first * padded[:, :, :, x : x + width]).mean(1) for x in STEPS], dim=1)


@cache
def _compiled(operation: Operation) -> Operation:
    return torch.compile(operation, dynamic=True, fullgraph=True)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    padded = F.pad(second, (RADIUS,) * 4)
    height = first.shape[2]
    return torch.cat([_compiled(_row)(first, padded[:, :, y : y + height]) for y in STEPS], dim=1)


def _warp_correlation(first: Tensor, second: Tensor, grid: Tensor) -> Tensor:
    return F.leaky_relu(_correlation(_compiled(STOCK["grid_sample"])(first, grid), second), NEGATIVE_SLOPE)


COMPILED: dict[str, Operation] = {
    "warp": _compiled(STOCK["warp"]),
    "grid_sample": _compiled(STOCK["grid_sample"]),
    "correlation": _correlation,
    "warp_correlation": _warp_correlation,
}
