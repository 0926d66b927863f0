"""Let unchanged code that calls `torch.nn.functional.grid_sample` run on these kernels."""

from __future__ import annotations

import sys
import threading
import warnings
from collections import Counter
from contextlib import ContextDecorator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tryon_kernels import private
from tryon_kernels.backends import kernels_serve
from tryon_kernels.checks import DTYPES
from tryon_kernels.functional import grid_sample

# torch's numbers for modes of sampling and padding, as `torch.nn.functional.grid_sample` hands them on.
_MODES = ("bilinear", "nearest", "bicubic")
_PADDING_MODES = ("zeros", "border", "reflection")
_PLAIN = (Tensor, torch.nn.Parameter)

_torch_grid_sampler = torch.grid_sampler
_lock = threading.Lock()
_enabled: tuple[Acceleration, ...] = ()


class Acceleration(ContextDecorator):
    """A switch that takes over calls of grid_sample while it is on, and counts them. `accelerate` makes one.

    Switches nest, in any order and across threads: calls are taken while at least one is on, and each that is on counts
    every call. One that is enabled twice is off after it is disabled twice. Counts add up until the switch is gone.

    Attributes:
        taken: how many calls ran on these kernels, by kind.
        left: how many calls were left to torch, by reason.
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self._depth = 0

    def enable(self) -> Acceleration:
        """Switch on, in all threads of this process.

        Raises:
            RuntimeError: something else has replaced `torch.grid_sampler`.
        """
        global _enabled
        with _lock:
            if torch.grid_sampler not in (_torch_grid_sampler, _grid_sampler):
                raise RuntimeError(
                    f"torch.grid_sampler: got {torch.grid_sampler!r}, expected torch's own; something replaced it"
                )
            if self._depth == 0:
                _install()
                _enabled = (*_enabled, self)
            self._depth += 1
        return self

    def disable(self) -> None:
        """Switch off what `enable` switched on; torch's own function is back when no switch is on.

        Raises:
            RuntimeError: the switch is not on.
        """
        global _enabled
        with _lock:
            if self._depth == 0:
                raise RuntimeError("accelerate: disable() without an enable() before it")
            self._depth -= 1
            if self._depth == 0:
                _enabled = tuple(switch for switch in _enabled if switch is not self)
            if not _enabled and torch.grid_sampler is _grid_sampler:
                _uninstall()

    def __enter__(self) -> Acceleration:
        return self.enable()

    def __exit__(self, *exception: object) -> None:
        self.disable()

    def report(self) -> str:
        """How many calls were taken and left, then one line for each kind and for each reason."""
        with _lock:
            taken, left = self.taken.most_common(), self.left.most_common()
        lines = [f"grid_sample: {sum(n for _, n in taken)} calls taken, {sum(n for _, n in left)} left to torch"]
        lines += [f"taken {count:>8}  {kind}" for kind, count in taken]
        lines += [f"left  {count:>8}  {reason}" for reason, count in left]
        return "\n".join(lines)


def accelerate() -> Acceleration:
    """Run calls of `torch.nn.functional.grid_sample` in unchanged code on these kernels.

    As a block, as a decorator (`@tryon_kernels.accelerate()`), or until further notice:

        with tryon_kernels.accelerate() as acceleration:
            network(image)
        print(acceleration.report())

        acceleration = tryon_kernels.accelerate().enable()
        ...
        acceleration.disable()

    It holds for the whole process, all threads, and however the caller has imported the function: replaced is
    `torch.grid_sampler`, which `grid_sample` calls once it has checked its arguments. So torch's own refusals and its
    warning about `align_corners` stay, and no other operation costs more than before. A call that returns fewer than
    some ten thousand numbers (with gradients, some fifty thousand) is bound by the call itself: torch's is quicker.

    Taken are calls of bilinear sampling with zeros or border padding, of 4-D plain tensors in float16, bfloat16,
    float32 or float64, on a device that compiled kernels serve now (see `use_backend`). Everything else is torch's:
    other modes, tensor subclasses, arguments that torch refuses, and calls inside `torch.jit`, `torch.compile`,
    `torch.func`, forward-mode differentiation or a TorchDispatchMode. A graph compiled by `torch.compile` has torch's
    own operation in it; call `tryon_kernels.grid_sample` where it should have this one.

    Results have the shape, dtype and strides of torch's, under autocast too, and agree to rounding. They differ where:

    - a position is infinite or NaN: docs/ops.md has what it samples here; with zeros padding torch gives NaN for NaN;
    - features are float16 or bfloat16: positions are float32 here, and torch's on a CPU have the features' few digits;
    - a position is within rounding of a pixel's centre: the gradient by it jumps there, and may be that of either side.

    Returns:
        A switch, off until it is entered or enabled, whose `report()` says what was taken and what was not, and why.
    """
    return Acceleration()


def _install() -> None:
    """Put the replacement in the place of torch's function; once it is there, nothing changes."""
    # torch.jit.script knows its operations by the function's identity. The table is complete before the replacement is.
    if not private.register_as_builtin(_grid_sampler, "aten::grid_sampler"):
        warnings.warn("tryon_kernels: accelerate: this torch has changed; grid_sample is left to it", stacklevel=4)
        return
    torch.grid_sampler = _grid_sampler


def _uninstall() -> None:
    torch.grid_sampler = _torch_grid_sampler
    if "torch._dynamo" in sys.modules:
        # Dynamo lists torch's functions once; if it did so in between, it lists the replacement in their place.
        torch.compiler.allow_in_graph(_torch_grid_sampler)


def _grid_sampler(*arguments: Any, **keywords: Any) -> Tensor:
    """`torch.grid_sampler`, on these kernels where they give the same result."""
    switches = _enabled
    if torch.compiler.is_compiling() or not switches:
        return _torch_grid_sampler(*arguments, **keywords)
    reason = "arguments that grid_sample does not pass" if keywords or len(arguments) != 5 else _why_not(*arguments)
    if reason is not None:
        for switch in switches:
            _count(switch.left, reason)
        return _torch_grid_sampler(*arguments, **keywords)
    input, grid, _, padding_mode, align_corners = arguments
    if torch.is_autocast_enabled(input.device.type):
        dtype = _autocast_dtype(input, grid)
        input, grid = input.to(dtype), grid.to(dtype)
    output = grid_sample(input, grid, "bilinear", _PADDING_MODES[padding_mode], align_corners)
    for switch in switches:
        _count(switch.taken, _kind(padding_mode, input.dtype, input.device.type))
    # torch's result is contiguous whatever the input is, and unchanged code may view it as such.
    return output.contiguous()


def _count(counts: Counter[str], what: str) -> None:
    with _lock:
        counts[what] += 1


@lru_cache(maxsize=64)
def _kind(padding_mode: int, dtype: torch.dtype, device_type: str) -> str:
    return f"bilinear, {_PADDING_MODES[padding_mode]} padding, {str(dtype).removeprefix('torch.')} on {device_type}"


def _why_not(input: Any, grid: Any, mode: Any, padding_mode: Any, align_corners: Any) -> str | None:
    """Why a call is left to torch; None where it is taken."""
    if type(input) not in _PLAIN or type(grid) not in _PLAIN:
        return "not plain tensors: subclasses, or tensors that stand for others while torch traces"
    if _transformed(input, grid):
        return "inside torch.jit, torch.func, forward-mode differentiation or a TorchDispatchMode"
    if type(mode) is not int or type(padding_mode) is not int or type(align_corners) is not bool:
        return "arguments that grid_sample does not pass"
    if mode != 0:
        return f"mode {_MODES[mode]}" if mode in (1, 2) else "an unknown mode"
    if padding_mode not in (0, 1):
        return "padding mode reflection" if padding_mode == 2 else "an unknown padding mode"
    if input.dim() == 5:
        return "5-D input"
    if not kernels_serve(input.device):
        return f"no compiled kernels serve {input.device.type} tensors now"
    return None if _fits(input, grid) else "shapes, dtypes or devices that torch refuses, or that these kernels lack"


def _transformed(*tensors: Tensor) -> bool:
    """Is something about that has to see torch's own operation?"""
    return (
        torch.jit.is_tracing()
        or private.in_function_transform()
        or private.watched_by_dispatch_mode()
        # Below autograd, where calls without gradients run, tangents would be lost.
        or private.in_forward_mode(*tensors)
    )


def _fits(input: Tensor, grid: Tensor) -> bool:
    if input.dim() != 4 or grid.dim() != 4 or grid.shape[3] != 2 or grid.shape[0] != input.shape[0]:
        return False
    if input.numel() == 0 or grid.numel() == 0 or input.device != grid.device:
        return False
    if input.layout is not torch.strided or grid.layout is not torch.strided:
        return False
    if input.dtype not in DTYPES or grid.dtype not in DTYPES:
        return False
    if input.dtype == grid.dtype:
        return True
    # Autocast brings the two together, but touches no float64.
    return torch.is_autocast_enabled(input.device.type) and torch.float64 not in (input.dtype, grid.dtype)


def _autocast_dtype(input: Tensor, grid: Tensor) -> torch.dtype:
    """What autocast makes of both: on a CPU float32 at least, on a GPU the wider of the two."""
    wider = torch.promote_types(input.dtype, grid.dtype)
    return torch.promote_types(wider, torch.float32) if input.device.type == "cpu" else wider
