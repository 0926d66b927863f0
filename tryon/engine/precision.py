"""Half precision on the way through the networks; weights that learn, their gradients and positions stay float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from tryon.errors import InputError
from tryon.stages import Stage
from tryon_kernels.libraries import variants

LOWERED = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
SMALLEST_SCALE = 1.0  # of the loss: below it, what overflows are the gradients themselves


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; emulated, it is slower than float32."""
    return variants().chosen in ("amx", "avx512_bf16")


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """What a training step's forward pass runs in."""
    dtype = LOWERED[precision]
    return nullcontext() if dtype is None else torch.autocast(torch.device(device).type, dtype=dtype)


def check_precision(precision: str, device: str) -> None:
    """Raise InputError for float16 on a CPU, which bfloat16 serves better in every way."""
    if precision == "fp16" and torch.device(device).type == "cpu":
        raise InputError("precision: found fp16 on a CPU, wanted bf16 or fp32 there, or a GPU")


def gradient_scaler(precision: str, device: str) -> torch.amp.GradScaler:
    """What keeps the gradients of float16 above its smallest number; with other precisions it leaves all as it is.

    A step whose gradients overflow is left out, and the scale halved; after 2,000 good ones it is doubled.
    """
    return torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16")


def may_overflow(scaler: torch.amp.GradScaler) -> bool:
    """Whether gradients that are not finite may be so by the scale alone."""
    return scaler.is_enabled() and scaler.get_scale() > SMALLEST_SCALE


def lower_frozen(stage: Stage, precision: str) -> None:
    """Keep the convolutions that never learn in the dtype to which autocast would take them at every call."""
    dtype = LOWERED[precision]
    if dtype is None:
        return
    for network in stage.frozen():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(dtype)
