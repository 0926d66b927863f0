"""The stock forms under torch.compile, with symbolic sizes, so that each is compiled once for a layout and a pass.

Compiling takes the better part of a minute for all of them, so only what says most is compiled: float32 in the larger
batch (a batch of one would be compiled again), grid_sample and correlation, of which the other two are made. The
correlation's 49 products are compiled a row of seven at a time: as a whole they take some minutes for each size, and
run no faster.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.inputs import BATCHES, RADIUS, Case
from benchmarks.operations import STOCK, Operation

torch._dynamo.config.recompile_limit = 64  # layouts and passes are graphs of their own

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


_OPERATIONS: dict[str, Operation] = {
    "grid_sample": _compiled(STOCK["grid_sample"]),
    "correlation": _correlation,
}


def compiled(case: Case) -> Operation | None:
    """The compiled stock form of a case; None where it is left out."""
    return _OPERATIONS.get(case.op) if case.dtype == torch.float32 and case.batch == max(BATCHES) else None
