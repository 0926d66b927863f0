"""What the ops have in common: the library that holds their schemas, and the rules they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tryon_kernels.eager import memory_format_of

NAMESPACE = "tryon_kernels"
library = torch.library.Library(NAMESPACE, "FRAGMENT")

# Torch refuses to say whether autocast is on for a device that has none, as meta. Asked here, for torch.compile of
# torch 2.10 cannot trace the question.
AUTOCAST_DEVICES = tuple(
    device for device in ("cpu", "cuda", "mps", "xpu", "hpu", "mtia") if torch.amp.is_autocast_available(device)
)


def new_output(like: Tensor, shape: Sequence[int | torch.SymInt]) -> Tensor:
    """Uninitialised N x C x H x W tensor in the memory format, dtype and device of the tensor it is computed from."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format_of(like))


def new_gradient(tensor: Tensor, needed: bool) -> Tensor:
    """Uninitialised gradient of a tensor; where it is not needed, a tensor without elements stands in its place."""
    return torch.empty_like(tensor) if needed else tensor.new_empty(0)


def as_positions(positions: Tensor) -> Tensor:
    """Positions of less than float32 raised to float32, whatever the features are."""
    return positions.float() if positions.dtype in (torch.float16, torch.bfloat16) else positions


def lowered(*features: Tensor) -> tuple[Tensor, ...]:
    """Features in autocast's dtype; float64 is left alone, as torch leaves it."""
    dtype = torch.get_autocast_dtype(features[0].device.type)
    return tuple(f.to(dtype) if f.is_floating_point() and f.dtype != torch.float64 else f for f in features)


def lowered_by_autocast(*features: Tensor) -> tuple[Tensor, ...]:
    """Features in autocast's dtype where it is on; unchanged where it is off."""
    return lowered(*features) if autocasts(features[0]) else features


def autocasts(tensor: Tensor) -> bool:
    """Is autocast on where this tensor is?"""
    device = tensor.device.type
    return device in AUTOCAST_DEVICES and torch.is_autocast_enabled(device)


def register_autocast(op: str, cast: Callable[..., tuple[Any, ...]]) -> None:
    """Under autocast, run an op on what `cast` makes of its arguments."""
    for device in ("cpu", "cuda"):

        def kernel(*args: Any, device: str = device) -> Any:
            with torch.autocast(device, enabled=False):
                return getattr(torch.ops.tryon_kernels, op)(*cast(*args))

        library.impl(op, kernel, f"Autocast{device.upper()}")
