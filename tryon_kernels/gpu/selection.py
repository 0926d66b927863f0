"""Which kernels serve a call on a GPU: those that are right there, and then the fastest, if they beat stock torch.

The first call of an op on a device, for a dtype and layout, has each set of kernels show itself (`verdict`); the first
one of a size has those that are right timed beside stock torch, on its own shape. Both are remembered (`record`). Where
nothing can be measured (a CUDA graph is captured, a TorchDispatchMode watches) what is remembered decides, or else the
fixed order of `choice`, of kernels known to be right. With `torch.use_deterministic_algorithms` that order decides
always: times would make the choice.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from tryon_kernels import availability, private
from tryon_kernels.eager import memory_format_of
from tryon_kernels.gpu import choice
from tryon_kernels.gpu.record import CHOICES, VERDICTS, Record
from tryon_kernels.gpu.verdict import OUTPUTS, SIGNED, TENSORS, gradients, outputs_of, wrong

NAMES = choice.NAMES
FASTEST = "the fastest"
STOCK = "stock"
RIGHT = ""  # a verdict without a fault
TURNS, SECONDS = 7, 0.02  # of timing each contender, one after the other, and how long a turn is to last
MOST_CALLS = 50  # of a turn
WORTH = 0.97  # a choice costs some Python at each call: kernels are to take this part of stock torch's time

_lock = threading.RLock()
_choices: dict[Call, str] = {}


@dataclass(frozen=True)
class Call:
    """What calls have in common that are served alike."""

    op: str
    device: torch.device
    dtype: torch.dtype
    channels_last: bool
    options: tuple[int, ...]  # those that kernels are compiled for
    channels: int  # in powers of two, rounded up
    pixels: int  # of the output, all images, likewise
    gradients: bool
    deterministic: bool

    def __str__(self) -> str:
        parts = [self.op, str(self.dtype).removeprefix("torch."), "channels_last" if self.channels_last else "NCHW"]
        parts += [f"2^{self.channels} channels", f"2^{self.pixels} pixels", *map(str, self.options)]
        return " ".join([*parts, "with gradients" if self.gradients else "forward"])


def call_of(op: str, tensors: Sequence[Tensor], options: Sequence[Any], with_gradients: bool) -> Call:
    """What a call has in common with others."""
    features, other = tensors[0], tensors[-1]
    deterministic = torch.are_deterministic_algorithms_enabled()
    if op == "feature_distance":  # of numbers in any order, and shape: as one channel
        pixels = (features.numel() - 1).bit_length() if features.numel() else -1
        relu = (int(options[0]),)
        return Call(op, features.device, features.dtype, False, relu, 0, pixels, with_gradients, deterministic)
    pixels = other.shape[0] * (other.shape[1] * other.shape[2] if op in GRIDS else other.shape[2] * other.shape[3])
    numbers: tuple[Any, ...] = ()
    if op in SIGNED:  # radius, of a correlation stride, and whether there is a negative slope
        slope = 2 if op == "correlation" else 1
        numbers = (*options[:slope], options[slope] is not None)
    return Call(
        op,
        features.device,
        features.dtype,
        memory_format_of(features) == torch.channels_last,
        tuple(map(int, numbers)),
        (features.shape[1] - 1).bit_length() if features.shape[1] else -1,
        (pixels - 1).bit_length() if pixels else -1,
        with_gradients,
        deterministic,
    )


GRIDS = ("grid_sample", "warp_correlation")  # whose last tensor is N x Ho x Wo x 2


def select(op: str, tensors: Sequence[Tensor], options: Sequence[Any]) -> str:
    """The backend for a call that has been checked: "triton", "cuda" or "stock"."""
    with_gradients = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return _select(call_of(op, tensors, options, with_gradients), tensors, options)


def select_for_op(op: str, name: str, arguments: Sequence[Any]) -> str:
    """The same for the arguments of an op, forward or backward, where no backend was chosen before it was called."""
    count, backward = TENSORS[op], name != op
    first = backward * OUTPUTS.get(op, 1)
    tensors = arguments[first : first + count]
    options = arguments[first + count + (backward and op in SIGNED) : len(arguments) - count * backward]
    with_gradients = backward or any(tensor.requires_grad for tensor in tensors)
    return _select(call_of(op, tensors, options, with_gradients), tensors, options)


def _select(call: Call, tensors: Sequence[Tensor], options: Sequence[Any]) -> str:
    found = _choices.get(call)
    if found is not None:
        return found
    contenders = availability.gpu_backends()
    if not contenders or call.channels < 0 or call.pixels < 0:
        return STOCK
    with _lock:
        if not _measurable(call.device):
            return _remembered(call) or _first_right(call, options, may_try=False)
        found = _first_right(call, options, may_try=True) if call.deterministic else _remembered(call)
        _choices[call] = found or _fastest(call, tensors, options)
        return _choices[call]


def _measurable(device: torch.device) -> bool:
    if private.watched_by_dispatch_mode():
        return False
    return device.type != "cuda" or not torch.cuda.is_current_stream_capturing()


def _remembered(call: Call) -> str | None:
    known = record_of(call.device).get(CHOICES, str(call))
    found = known.get("backend") if isinstance(known, dict) else None
    return found if found == STOCK or found in availability.gpu_backends() else None


def _first_right(call: Call, options: Sequence[Any], may_try: bool) -> str:
    order, _ = choice.preferred(call.op, call.dtype, 2**call.channels)
    there = [name for name in order if name in availability.gpu_backends()]
    return next((name for name in there if verdict(name, call, options, may_try) == RIGHT), STOCK)


def verdict(name: str, call: Call, options: Sequence[Any], may_try: bool = True) -> str | None:
    """What is wrong with kernels for calls like this, empty where nothing is; None where it has not been tried."""
    record, key = record_of(call.device), _verdict_key(name, call)
    known = record.get(VERDICTS, key)
    if known is None and may_try:
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(call.device.type, enabled=False):
            implementation = partial(availability.implementation, name)
            try:
                fault = wrong(implementation, call.op, call.dtype, call.channels_last, call.device, options)
            except torch.OutOfMemoryError:  # says nothing of the kernels
                return None
        known = fault or RIGHT
        record.put(VERDICTS, key, known)
        if fault:
            _warn(name, call, fault, record)
    return known


def _verdict_key(name: str, call: Call) -> str:
    layout = "channels_last" if call.channels_last else "NCHW"
    parts = (name, call.op, str(call.dtype).removeprefix("torch."), layout, *map(str, call.options))
    return " ".join((*parts, "deterministic") if call.deterministic else parts)


def _warn(name: str, call: Call, fault: str, record: Record) -> None:
    where = record.surroundings
    warnings.warn(
        f"tryon_kernels: {name} kernels are left out for {_verdict_key(name, call)} on {where['device']}: {fault}. "
        "Results are right without them. Please report this, with the output of: python -m tryon_kernels --check",
        RuntimeWarning,
        stacklevel=2,
    )


def _fastest(call: Call, tensors: Sequence[Tensor], options: Sequence[Any]) -> str:
    right = [name for name in availability.gpu_backends() if verdict(name, call, options) == RIGHT]
    if not right:
        return STOCK
    try:
        seconds = timed((STOCK, *right), call, tensors, options)
    except torch.OutOfMemoryError:  # beside what the caller has there is no room to try
        return _first_right(call, options, may_try=False)
    best = min(right, key=seconds.__getitem__)
    found = best if seconds[best] <= WORTH * seconds[STOCK] else STOCK
    shape = "x".join(map(str, tensors[0].shape))
    times = {name: round(1e3 * value, 4) for name, value in seconds.items()}
    record_of(call.device).put(CHOICES, str(call), {"backend": found, "ms": times, "features": shape})
    return found


def timed(names: Iterable[str], call: Call, tensors: Sequence[Tensor], options: Sequence[Any]) -> dict[str, float]:
    """Median seconds of a call by each backend, in turns, waiting for the device after each turn."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(call.device.type, enabled=False):
        given = [tensor.detach() for tensor in tensors]
        runs = {name: _run(partial(availability.implementation, name), call, given, options) for name in names}
        calls = {}
        for name, run in runs.items():
            _seconds(run, 1, call.device)  # compiles
            calls[name] = max(1, min(MOST_CALLS, int(SECONDS / max(_seconds(run, 1, call.device), 1e-9))))
        turns = [
            {name: _seconds(run, calls[name], call.device) / calls[name] for name, run in runs.items()}
            for _ in range(TURNS)
        ]
    return {name: median(turn[name] for turn in turns) for name in runs}


def _run(implementation: Any, call: Call, tensors: Sequence[Tensor], options: Sequence[Any]) -> Callable[[], object]:
    forward = partial(implementation(call.op), *tensors, *options)
    if not call.gradients:
        return forward
    outputs = outputs_of(forward())
    grad_outputs = tuple(map(torch.ones_like, outputs))

    def both() -> None:
        forward()
        gradients(implementation, call.op, outputs, tensors, options, grad_outputs)

    return both


def _seconds(run: Callable[[], object], calls: int, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@lru_cache
def record_of(device: torch.device) -> Record:
    """What is known of a device."""
    return Record(device)


def forget() -> None:
    """Know nothing any more but what the files say."""
    with _lock:
        _choices.clear()
        record_of.cache_clear()
