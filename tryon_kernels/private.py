"""All that this package uses of torch without torch's promise: each name has a way to do without it.

Each is looked for and tried when this module is imported. Where it is missing, or is not what it was, calls take the
plain op, which is slower for small tensors but right.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad


def _find(name: str, works: Callable[[Any], bool]) -> Any:
    """What torch has under a dotted name; None where there is none, or where it does not do what is expected of it."""
    try:
        found = reduce(getattr, name.split("."), torch)
        return found if works(found) else None
    except Exception:  # whatever has become of it
        return None


def _is_context_manager(make: Any) -> bool:
    with make():
        return True


class _Twice(Function):
    """A function to try."""

    @staticmethod
    def forward(_: Any, number: Tensor) -> Tensor:
        return 2 * number

    @staticmethod
    def backward(_: Any, grad_output: Tensor) -> Tensor:
        return 2 * grad_output


def _plain_apply(function: type[Function]) -> Callable[..., Any]:
    plain: Any = super(Function, function)
    apply: Callable[..., Any] = plain.apply
    return apply


def _differentiates(twice: Callable[..., Tensor]) -> bool:
    number = torch.ones((), requires_grad=True)
    (gradient,) = torch.autograd.grad(twice(number), number)
    return gradient.item() == 2


_below_autograd = _find("_C._AutoDispatchBelowAutograd", _is_context_manager)
_innermost_function_transform = _find("_C._functorch.peek_interpreter_stack", lambda peek: peek() is None)
_function_transforms = _find(
    "_C._functorch.get_interpreter_stack", lambda get: get() is None or isinstance(get(), list)
)
_kinds_of_transforms = _find("_C._functorch.TransformType", lambda kinds: kinds.Grad != kinds.Vmap != kinds.Jvp)
_dispatch_modes = _find("_C._len_torch_dispatch_stack", lambda count: isinstance(count(), int))
_cuda_driver = _find("_C._cuda_getDriverVersion", callable)
_register_builtin = _find("jit._builtins._register_builtin", callable)
_has_plain_apply = _find("_C._FunctionBase", lambda _: _differentiates(_plain_apply(_Twice))) is not None
# A level of forward-mode differentiation is a number in the module, -1 where there is none.
_has_level = _find("autograd.forward_ad._current_level", lambda level: level == -1) is not None


def below_autograd() -> AbstractContextManager[Any]:
    """Run ops without autograd's part of their dispatch, which in Python costs half of a small call."""
    return nullcontext() if _below_autograd is None else _below_autograd()


def apply_of(function: type[Function]) -> Callable[..., Any]:
    """`function.apply` for calls outside of `torch.func`, what it does for which costs as much as all else."""
    return _plain_apply(function) if _has_plain_apply else function.apply


def in_forward_mode(*tensors: Tensor) -> bool:
    """Is forward-mode differentiation on, so that tensors may have tangents? Without the name: has one of these one?"""
    if _has_level:
        return forward_ad._current_level >= 0
    return any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


def in_function_transform() -> bool:
    """Inside of `torch.func`? Without the name it is taken for granted: the plain op is then what is called."""
    return _innermost_function_transform is None or _innermost_function_transform() is not None


def differentiated_by_function_transform() -> bool:
    """Inside of a `torch.func` transform that differentiates? Without the names: inside of any."""
    if None in (_innermost_function_transform, _function_transforms, _kinds_of_transforms):
        return _innermost_function_transform is not None and _innermost_function_transform() is not None
    differentiating = (_kinds_of_transforms.Grad, _kinds_of_transforms.Jvp)
    return any(transform.key() in differentiating for transform in _function_transforms() or ())


def watched_by_dispatch_mode() -> bool:
    """Does a TorchDispatchMode see all operations? Without the name it is taken for granted."""
    return _dispatch_modes is None or _dispatch_modes() > 0


def cuda_driver() -> str:
    """The GPU driver's version, as a text that changes with it; empty where torch does not say."""
    return "" if _cuda_driver is None or not torch.cuda.is_available() else str(_cuda_driver())


def register_as_builtin(function: Callable[..., Any], name: str) -> bool:
    """Let `torch.jit.script` take a function for one of its own operations; False where torch has no such way."""
    if _register_builtin is None:
        return False
    _register_builtin(function, name)
    return True


def flop_formula(*ops: Any) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a formula of `torch.utils.flop_counter`; without that the ops are not counted."""
    try:
        from torch.utils.flop_counter import register_flop_formula
    except ImportError:
        return lambda formula: formula
    return register_flop_formula(list(ops))
