"""Which kernels serve a call on a GPU where both are there.

Where calls are timed, times decide instead (`selection.py`). The reasons are what machine code, bytes and operations on
paper say, and what an H200 showed (docs/gpu.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

NAMES = ("cuda", "triton")
LEAST_CHANNELS = 16  # of a matrix product on tensor cores


def preferred(op: str, dtype: torch.dtype, channels: int) -> tuple[Sequence[str], str]:
    """Names of kernels, best first, for an op on features like these, and the reason for the order."""
    if op == "correlation" and dtype in (torch.float16, torch.bfloat16) and channels >= LEAST_CHANNELS:
        return ("triton", "cuda"), "Triton's kernels multiply half formats on tensor cores, CUDA's do not"
    if dtype == torch.float64:
        return ("cuda", "triton"), "Triton's kernels multiply float64 number by number"
    return ("cuda", "triton"), "CUDA's kernels are compiled already and start with less work of Python"
