"""Half precision on the way through the networks; weights that learn, their gradients and positions stay float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from tryon.stages import Stage
from tryon_kernels.libraries import variants

LOWERED = {"fp32": None, "bf16": torch.bfloat16}


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; emulated, it is slower than float32."""
    return variants().chosen in ("amx", "avx512_bf16")


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """What a training step's forward pass runs in."""
    dtype = LOWERED[precision]
    return nullcontext() if dtype is None else torch.autocast(torch.device(device).type, dtype=dtype)


def lower_frozen(stage: Stage, precision: str) -> None:
    """Keep the convolutions that never learn in the dtype to which autocast would take them at every call."""
    dtype = LOWERED[precision]
    if dtype is None:
        return
    for network in stage.frozen():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(dtype)
