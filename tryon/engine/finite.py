"""Which of many tensors hold an infinite value or NaN."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

NAMES_SHOWN = 3


def not_finite(tensors: Iterable[tuple[str, Tensor | None]]) -> list[str]:
    """Names of those that hold an infinite value or NaN."""
    named = {name: tensor for name, tensor in tensors if tensor is not None and tensor.is_floating_point()}
    # One look at all values: a norm is not finite where one of them is not, or where their squares overflow.
    if torch.nn.utils.get_total_norm(named.values()).isfinite():
        return []
    return [name for name, tensor in named.items() if not tensor.isfinite().all()]


def listed(names: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
