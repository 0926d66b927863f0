"""Training in half precision; weights that learn and their gradients stay float32."""

from __future__ import annotations

import torch

SMALLEST_SCALE = 1.0  # of the loss: below it, what overflows are the gradients themselves


def gradient_scaler(precision: str, device: str) -> torch.amp.GradScaler:
    """What keeps the gradients of float16 above its smallest number; with other precisions it leaves all as it is.

    A step whose gradients overflow is left out, and the scale halved; after 2,000 good ones it is doubled.
    """
    return torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16")


def may_overflow(scaler: torch.amp.GradScaler) -> bool:
    """Whether gradients that are not finite may be so by the scale alone."""
    return scaler.is_enabled() and scaler.get_scale() > SMALLEST_SCALE
