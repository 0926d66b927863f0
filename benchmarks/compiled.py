"""The stock forms under torch.compile, with symbolic sizes, so that each is compiled once for a layout and a pass.

Compiling takes a large part of a run on a CPU, so there only what says most is compiled: float32 in the larger batch (a
batch of one would be compiled again), correlation in both layouts and grid_sample in channels_last, of which the other
two operations are made. The correlation's 49 products are compiled a row of seven at a time: as a whole they take some
minutes for each size, and run no faster.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.inputs import BATCHES, NEGATIVE_SLOPE, RADIUS, Case
from benchmarks.operations import STOCK, Operation, pixel_grid, warp_from

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


def _warp(input: Tensor, flow: Tensor) -> Tensor:
    return _compiled(warp_from)(pixel_grid(*input.shape[2:], input.device), input, flow)


def _warp_correlation(first: Tensor, second: Tensor, grid: Tensor) -> Tensor:
    return F.leaky_relu(_correlation(_compiled(STOCK["grid_sample"])(first, grid), second), NEGATIVE_SLOPE)


COMPILED: dict[str, Operation] = {
    "warp": _warp,
    "grid_sample": lambda input, grid: _compiled(STOCK["grid_sample"])(input, grid),
    "correlation": _correlation,
    "warp_correlation": _warp_correlation,
}


def compiled(case: Case) -> Operation | None:
    """The compiled stock form of a case on a CPU; None where it is left out."""
    if case.dtype != torch.float32 or case.batch != max(BATCHES):
        return None
    chosen = case.op == "correlation" or (case.op == "grid_sample" and case.layout == "channels_last")
    return COMPILED[case.op] if chosen else None
