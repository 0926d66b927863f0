"""Gradients of the ops, of every order, and the quickest way to call an op that is right.

The first gradients are an op of their own, `{name}_backward`, whose arguments are the output's gradient, then the
forward's: its tensors, for ops with a negative slope the output (its sign says which slope a value took; None without a
slope), its options; then for each tensor whether its gradient is needed. Further gradients, and forward mode, come from
the reference formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tryon_kernels import pins, private
from tryon_kernels.ops.library import NAMESPACE, library

Formula = Callable[..., Tensor]


class Operation:
    """An op and its gradients as a function.

    torch knows both as `torch.ops.tryon_kernels`, which is what traced graphs hold. From Python it is quicker to go
    past the part of torch's dispatch that calls Python back.
    """

    def __init__(
        self,
        name: str,
        tensors: int,
        setup_context: Callable[[Any, tuple[Any, ...], Any], None],
        backward: Callable[..., tuple[Tensor | None, ...]],
    ) -> None:
        self.overload = getattr(getattr(torch.ops, NAMESPACE), name).default
        self.backward: Operation | None = None  # what its first gradients are computed by
        self._tensors = tensors
        self._apply = private.apply_of(_function(name, self.overload, setup_context, backward))
        torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup_context, lib=library)

    def __call__(self, *args: Any) -> Any:
        """Call the op. Tensors come first, of which a backward op's may be None; what they are has been checked."""
        if torch.compiler.is_compiling() or private.in_function_transform():
            return self.overload(*args)
        if torch.is_grad_enabled():
            for tensor in args[: self._tensors]:
                if tensor is not None and tensor.requires_grad:
                    return self._apply(*args)
        with private.below_autograd():
            return self.overload(*args)


def _function(name: str, overload: Any, setup_context: Any, backward: Any) -> type[torch.autograd.Function]:
    def forward(ctx: Any, *args: Any) -> Any:
        with private.below_autograd():
            output = overload(*args)
        setup_context(ctx, args, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(f"{NAMESPACE}_{name}", (torch.autograd.Function,), members)


def called_by(backend: str, backward: Operation, *arguments: Any) -> Any:
    """Call a backward op by the backend of its forward."""
    if backend == pins.current():
        return backward(*arguments)
    with pins.pinned(backend):
        return backward(*arguments)


def differentiable(name: str, formula: Formula, tensors: int, slope: int | None = None) -> Operation:
    """Register the gradients of an op.

    Args:
        name: of the op; it and its backward op are defined.
        formula: the reference, of the same arguments.
        tensors: how many tensors the arguments begin with.
        slope: which of the options after them is the negative slope; None where there is none.
    """
    options_at = tensors + 1 + (slope is not None)  # in the backward op's arguments

    def setup_second(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[: tensors + 1])
        ctx.options, ctx.needed = inputs[options_at:-tensors], inputs[-tensors:]

    def second_gradients(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        wanted = [cotangent for cotangent, needed in zip(cotangents, ctx.needed, strict=True) if needed]
        further = torch.is_grad_enabled()
        with torch.enable_grad():
            leaves = tuple(_leaf(tensor, further) for tensor in ctx.saved_tensors)
            first = _by_formula(formula, leaves[1:], ctx.options, leaves[0], ctx.needed, create_graph=True)
            second = torch.autograd.grad(first, leaves, wanted, create_graph=further, allow_unused=True)
        return (*second, *(None,) * (options_at - tensors - 1 + len(ctx.options) + tensors))

    backward = Operation(f"{name}_backward", tensors + 1, setup_second, second_gradients)

    def setup_first(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.options = inputs[tensors:]
        signs = () if slope is None else (None if ctx.options[slope] is None else output,)
        ctx.save_for_backward(*inputs[:tensors], *signs)
        ctx.backend = pins.current()

    def first_gradients(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        needed, saved = ctx.needs_input_grad[:tensors], ctx.saved_tensors
        nothing = (None,) * len(ctx.options)
        if private.in_forward_mode(grad_output, *saved[:tensors]):
            further = torch.is_grad_enabled()
            with torch.enable_grad():
                leaves = tuple(_leaf(tensor, further) for tensor in saved[:tensors])
                made = iter(_by_formula(formula, leaves, ctx.options, grad_output, needed, create_graph=further))
            return (*(next(made) if wanted else None for wanted in needed), *nothing)
        arguments = (grad_output, *saved, *ctx.options, *needed)
        gradients = called_by(ctx.backend, backward, *arguments)
        if all(needed):
            return (*gradients, *nothing)
        return (*(g if wanted else None for g, wanted in zip(gradients, needed, strict=True)), *nothing)

    operation = Operation(name, tensors, setup_first, first_gradients)
    operation.backward = backward
    return operation


def _leaf(tensor: Tensor, further: bool) -> Tensor:
    """What to differentiate by. If that is to be differentiated further, it must lead back to the tensor."""
    return tensor.view_as(tensor) if further and tensor.requires_grad else tensor.detach().requires_grad_()


def _by_formula(
    formula: Formula,
    leaves: Sequence[Tensor],
    options: Sequence[Any],
    grad_output: Tensor,
    needed: Sequence[bool],
    create_graph: bool,
) -> tuple[Tensor, ...]:
    """The gradients needed, from the formula."""
    by = [leaf for leaf, wanted in zip(leaves, needed, strict=True) if wanted]
    return torch.autograd.grad(formula(*leaves, *options), by, grad_output, create_graph=create_graph)
