"""Which implementation serves a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from tryon_kernels import pins, stock
from tryon_kernels.availability import DEVICE_TYPES, GPU, OPS, gpu_backends, implementation, missing
from tryon_kernels.gpu import selection
from tryon_kernels.libraries import CPP, cpp_obstacle, warn_of_broken
from tryon_kernels.ops.library import library
from tryon_kernels.pins import NAMES


def backend_for(op: str, tensors: Sequence[Tensor], options: Sequence[Any]) -> str:
    """The backend that serves a call of an op now: "stock", "eager", "cpp", "triton" or "cuda".

    Raises ValueError for a pinned backend that does not serve the device, and RuntimeError for one that is not there.
    """
    device, pinned = tensors[0].device, pins.current()
    if pinned not in ("", "auto"):
        return _pinned_backend(pinned, device)
    name = serving(device.type) if pinned else _unpinned(device)
    return selection.select(op, tensors, options) if name == selection.FASTEST else name


@lru_cache
def _unpinned(device: torch.device) -> str:
    """What serves there where no block pins a backend: looked up once, for it is asked at every call."""
    name = of_environment(device.type)
    return serving(device.type) if name == "auto" else name


def _pinned_backend(name: str, device: torch.device) -> str:
    if DEVICE_TYPES.get(name, device.type) != device.type:
        raise ValueError(f'backend "{name}" serves {DEVICE_TYPES[name]} tensors, got one on {device}')
    return name


def backend_when_traced(device: torch.device) -> str:
    """The same where torch traces a call, from constants; "auto" is what is left open until what was traced runs.

    What the environment names is checked when an op runs.
    """
    pinned, of_environment = pins.current(), pins.OF_ENVIRONMENT
    if pinned not in ("", "auto"):
        return _pinned_backend(pinned, device)
    if not pinned and of_environment != "auto" and DEVICE_TYPES.get(of_environment, device.type) == device.type:
        return of_environment
    return WHEN_TRACED.get(device.type, "stock")


@lru_cache
def of_environment(device_type: str) -> str:
    """The backend that the environment names, "auto" where it serves no such tensors. Raises as `use_backend` does."""
    name = pins.OF_ENVIRONMENT
    check_backend(pins.VARIABLE, name)
    return name if DEVICE_TYPES.get(name, device_type) == device_type else "auto"


def kernels_serve(device: torch.device) -> bool:
    """May kernels of this package serve tensors of this device now? Otherwise torch's own operations do."""
    name = pins.current() or of_environment(device.type)
    if name == "auto":
        return serving(device.type) != "stock"
    return DEVICE_TYPES.get(name) == device.type


def serving(device_type: str) -> str:
    """What "auto" takes for tensors of such a device: a backend, or "the fastest" of the kernels for GPUs and stock."""
    if device_type == GPU and gpu_backends():
        return selection.FASTEST
    return "cpp" if device_type == "cpu" and missing("cpp") is None else "stock"


def check_backend(what: str, name: str) -> None:
    """Refuse a backend that nobody knows (ValueError) or that is not there (RuntimeError)."""
    if name not in NAMES:
        raise ValueError(f'{what}: got "{name}", expected one of {", ".join(NAMES)}')
    reason = missing(name)
    if reason is not None:
        raise RuntimeError(f'{what}: backend "{name}" is not available: {reason}')


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Let one backend serve every call of the block, in this thread or asynchronous task.

    "auto" takes compiled kernels for CPU tensors, the fastest of the right kernels and stock torch for GPU tensors, and
    stock torch elsewhere; "stock" is torch's own operations, "eager" the reference formulas. Gradients are computed by
    the backend of their forward, wherever they are asked for. `TRYON_KERNELS_BACKEND` in the environment does the same
    for a whole process, for tensors of the devices that the backend serves. Compiled code (`torch.compile`) follows the
    block that was entered last, in any thread.

    Raises ValueError for an unknown name and RuntimeError, with the reason, for a backend that is not there. A call
    with tensors on a device that the backend does not serve raises ValueError.
    """
    check_backend("name", name)
    with pins.pinned(name), pins.pinned_for_compiled_code(name):
        yield


def _call_gpu(op: str, name: str, *arguments: Any) -> Any:
    backend = pins.current() or of_environment(GPU)
    if backend not in (*selection.NAMES, "stock"):
        backend = selection.select_for_op(op, name, arguments)
    return implementation(backend, name)(*arguments)


for _op in OPS:
    for _name in (_op, f"{_op}_backward"):
        # Elsewhere, whatever the device: the library of CPU kernels registers its own.
        library.impl(_name, stock.implementation(_name), "CompositeExplicitAutograd")
        library.impl(_name, partial(_call_gpu, _op, _name), GPU.upper())
WHEN_TRACED = {GPU: "auto"}
if GPU != "cpu":
    WHEN_TRACED["cpu"] = "cpp" if cpp_obstacle() is None else "stock"
    warn_of_broken(CPP, cpp_obstacle())
