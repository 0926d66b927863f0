"""What a GPU computes again and again, replayed from a CUDA graph, which does not wait for thousands of launches.

A step of the student's stage at 256 x 192 in bfloat16 launches some six thousand kernels, and launching them takes a
host several times as long as they run; dressing a picture of that size takes four times as long with launches.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import torch

from tryon.data.sample import convert, tensors_of

T = TypeVar("T")

WARM_UP = 3
"""Calls that are launched kernel by kernel before the capture: ops choose their kernels, and libraries allocate."""

_turn = threading.Lock()  # one capture at a time, beside which nothing may wait for the GPU


def launch(function: Callable[..., T], *inputs: Any) -> T:
    """Call kernel by kernel, on another stream than the default one, which a capture must not meet."""
    device = _device_of(inputs)
    with torch.cuda.device(device):
        side, current = _side_stream(device), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            result = function(*inputs)
        current.wait_stream(side)
    return result


def _device_of(inputs: tuple[Any, ...]) -> torch.device:
    """Whose streams a call takes: those of another GPU would record nothing of it."""
    return tensors_of(inputs)[0].device


@lru_cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all calls: free memory is kept for each stream."""
    return torch.cuda.Stream(device)


class Recording(Generic[T]):
    """A call recorded as a CUDA graph. It keeps the memory of a call until it is let go.

    What was chosen when it was recorded stays: `tryon_kernels.use_backend`, say.

    Args:
        function: made of work for one GPU alone; nothing of it may be read by the host.
        inputs: tensors and dataclasses of them. Their memory is where those of later calls are copied to.
    """

    def __init__(self, function: Callable[..., T], *inputs: Any) -> None:
        self._inputs = inputs
        self._graph = torch.cuda.CUDAGraph()
        device = _device_of(inputs)
        side = _side_stream(device)
        # The outer stream is left where a capture fails, too. Other threads may get memory meanwhile.
        capture = torch.cuda.graph(self._graph, stream=side, capture_error_mode="thread_local")
        with torch.cuda.device(device), torch.cuda.stream(side), capture:
            self.result = function(*inputs)

    def put(self, *inputs: Any) -> None:
        """Copy what the next replay computes with; the shapes are those that were recorded."""
        for own, given in zip(self._inputs, inputs, strict=True):
            for recorded, tensor in zip(tensors_of(own), tensors_of(given), strict=True):
                recorded.copy_(tensor)

    def replay(self) -> T:
        """Compute; what it returns is overwritten by the next replay."""
        self._graph.replay()
        return self.result


class Replayed(Generic[T]):
    """A function that is recorded when calls of the same shapes follow each other, and replayed from then on.

    Calls of other shapes take the recording's place. What a call returns is the caller's own. Threads take turns. What
    cannot be recorded, for want of memory say, is launched, with a warning.

    Args:
        function: of tensors and dataclasses of them, as `Recording` wants it, without a record for derivatives.
    """

    def __init__(self, function: Callable[..., T]) -> None:
        self.function = function
        self._recording: Recording[T] | None = None
        self._records = True
        self._shapes: list[torch.Size] = []
        self._calls = 0

    def __call__(self, *inputs: Any) -> T:
        """Call it."""
        with _turn:
            result = convert(launch(self._call, *inputs), torch.clone)
            _side_stream(_device_of(inputs)).wait_stream(torch.cuda.current_stream(_device_of(inputs)))
        return result

    def _call(self, *inputs: Any) -> T:
        """Compute on the side stream, into what the next call may overwrite when this stream has read it."""
        shapes = [tensor.shape for item in inputs for tensor in tensors_of(item)]
        if shapes != self._shapes:
            self._recording, self._shapes, self._calls = None, shapes, 0
        self._calls += 1
        if self._recording is not None:
            self._recording.put(*inputs)
        elif self._calls > WARM_UP and self._records:
            self._recording = self._record(*inputs)
        return self.function(*inputs) if self._recording is None else self._recording.replay()

    def _record(self, *inputs: Any) -> Recording[T] | None:
        try:
            return Recording(self.function, *convert(inputs, torch.clone))
        except RuntimeError as error:
            self._records = False
            reason = next(iter(str(error).splitlines()), "")
            warnings.warn(f"no CUDA graph of {self._shapes} could be recorded: {reason}", stacklevel=2)
            return None
