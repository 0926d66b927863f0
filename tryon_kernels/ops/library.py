"""What the ops have in common: the library that holds their schemas, and the rules they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tryon_kernels.eager import memory_format_of

NAMESPACE = "tryon_kernels"
library = torch.library.Library(NAMESPACE, "FRAGMENT")


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
    device = features[0].device.type
    # torch refuses to say whether autocast is on for a device that has none, as meta.
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return lowered(*features) if on else features


def register_autocast(op: str, cast: Callable[..., tuple[Any, ...]]) -> None:
    """Under autocast, run an op on what `cast` makes of its arguments."""
    for device, key in (("cpu", torch._C.DispatchKey.AutocastCPU), ("cuda", torch._C.DispatchKey.AutocastCUDA)):
        keys = torch._C.DispatchKeySet(key)

        def kernel(*args: Any, keys: torch._C.DispatchKeySet = keys) -> Tensor:
            with torch._C._ExcludeDispatchKeyGuard(keys):
                return getattr(torch.ops.tryon_kernels, op)(*cast(*args))

        library.impl(op, kernel, f"Autocast{device.upper()}")


def register_double_backward(op: str, forward: Callable[..., Tensor], tensors: int) -> None:
    """Differentiate `{op}_backward` through the eager formula of its forward.

    The backward op's arguments are the gradient of the output, then the forward's: first its tensors (as many as
    `tensors` says, in the order of the gradients returned), then the rest, then a bool for each of these tensors that
    says whether its gradient is needed.
    """

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs[: tensors + 1])
        ctx.options, ctx.needed = inputs[tensors + 1 : -tensors], inputs[-tensors:]

    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            leaves = tuple(saved.detach().requires_grad_() for saved in ctx.saved_tensors)
            needed = [leaf for leaf, wanted in zip(leaves[1:], ctx.needed, strict=True) if wanted]
            output = forward(*leaves[1:], *ctx.options)
            first_order = torch.autograd.grad(output, needed, leaves[0], create_graph=True)
            second_order = torch.autograd.grad(
                first_order,
                leaves,
                [cotangent for cotangent, wanted in zip(cotangents, ctx.needed, strict=True) if wanted],
                allow_unused=True,
            )
        return (*second_order, *(None,) * (len(ctx.options) + tensors))

    torch.library.register_autograd(f"{NAMESPACE}::{op}_backward", backward, setup_context=setup_context, lib=library)
