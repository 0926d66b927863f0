"""What a GPU computes again and again, replayed from a CUDA graph, which does not wait for thousands of launches.

A step of the student's stage at 256 x 192 in bfloat16 launches some six thousand kernels, and launching them takes a
host several times as long as they run; dressing a picture of that size takes four times as long with launches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

from tryon.data.sample import convert, tensors_of

T = TypeVar("T")

WARM_UP = 3
"""Calls that are launched kernel by kernel before the capture: ops choose their kernels, and libraries allocate."""


def launch(function: Callable[..., T], *inputs: Any) -> T:
    """Call kernel by kernel, on another stream than the default one, which a capture must not meet."""
    with _gpu_of(inputs):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
    return result


def _gpu_of(inputs: tuple[Any, ...]) -> torch.cuda.device_of:
    """Where streams are of the inputs' GPU: others would record nothing of what is launched."""
    return torch.cuda.device_of(tensors_of(inputs)[0])


class Recording(Generic[T]):
    """A call recorded as a CUDA graph. It keeps the memory of a call until it is let go.

    Args:
        function: made of work for one GPU alone; nothing of it may be read by the host.
        inputs: tensors and dataclasses of them. Their memory is where those of later calls are copied to.
    """

    def __init__(self, function: Callable[..., T], *inputs: Any) -> None:
        self._inputs = inputs
        self._graph = torch.cuda.CUDAGraph()
        # Other threads go on meanwhile.
        with _gpu_of(inputs), torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
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

    Calls of other shapes take the recording's place. What a call returns is the caller's own. Threads take turns.

    Args:
        function: of tensors and dataclasses of them, as `Recording` wants it, without a record for derivatives.
    """

    def __init__(self, function: Callable[..., T]) -> None:
        self.function = function
        self._recording: Recording[T] | None = None
        self._shapes: list[torch.Size] = []
        self._calls = 0
        self._turn = threading.Lock()

    def __call__(self, *inputs: Any) -> T:
        """Call it."""
        with self._turn:
            return self._call(*inputs)

    def _call(self, *inputs: Any) -> T:
        shapes = [tensor.shape for item in inputs for tensor in tensors_of(item)]
        if shapes != self._shapes:
            self._recording, self._shapes, self._calls = None, shapes, 0
        self._calls += 1
        if self._calls <= WARM_UP:
            return launch(self.function, *inputs)
        if self._recording is None:
            self._recording = Recording(self.function, *convert(inputs, torch.clone))
        else:
            self._recording.put(*inputs)
        return convert(self._recording.replay(), torch.clone)
