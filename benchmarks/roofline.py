"""The least time a case can take on a machine, from its arithmetic and its bytes."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from benchmarks.inputs import Case
from benchmarks.machine import Limits


@dataclass(frozen=True)
class Limit:
    """The larger of two times, and which it is."""

    seconds: float
    limited_by: str  # "arithmetic" or "memory"


def limit(case: Case, passes: str, limits: Limits) -> Limit:
    """Operations over the peak, or bytes over the copy bandwidth at that many bytes, whichever takes longer."""
    arithmetic = case.flops(passes) / limits.peak[case.dtype_name]
    moved = case.bytes(passes)
    memory = moved / bandwidth(moved, limits.copy_bandwidth)
    return Limit(arithmetic, "arithmetic") if arithmetic >= memory else Limit(memory, "memory")


def bandwidth(size: int, measured: dict[int, float]) -> float:
    """Copy bandwidth for tensors of `size` bytes in all, between the two measured sizes around it; caches count.

    The larger of the two neighbours' bandwidths, so that a limit is never too easy to reach.
    """
    sizes = sorted(measured)
    above = min(bisect_left(sizes, size), len(sizes) - 1)
    below = max(above - 1, 0) if size < sizes[above] else above
    return max(measured[sizes[below]], measured[sizes[above]])
