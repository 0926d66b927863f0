"""Training in half precision; weights that learn and their gradients stay float32."""

from __future__ import annotations

import torch
from torch import nn

from tryon.precision import LOWERED
from tryon.stages import Stage

SMALLEST_SCALE = 1.0  # of the loss: below it, what overflows are the gradients themselves


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
