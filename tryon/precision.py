"""Half precision on the way through the networks; positions stay float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from tryon.errors import InputError
from tryon_kernels.libraries import variants

LOWERED = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What features are lowered to, by the precision's name."""


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; emulated, it is slower than float32."""
    return variants().chosen in ("amx", "avx512_bf16")


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """What a forward pass runs in."""
    dtype = LOWERED[precision]
    return nullcontext() if dtype is None else torch.autocast(torch.device(device).type, dtype=dtype)


def check_precision(precision: str, device: str) -> None:
    """Raise InputError for float16 on a CPU, which bfloat16 serves better in every way."""
    if precision == "fp16" and torch.device(device).type == "cpu":
        raise InputError("precision: found fp16 on a CPU, wanted bf16 or fp32 there, or a GPU")
