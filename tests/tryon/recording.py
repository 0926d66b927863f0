"""What stands in for a CUDA graph where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor

from tryon import replay
from tryon.data.sample import tensors_of
from tryon.replay import Recording

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class ComputedAgain(Recording[Any]):
    """Computes again, from recorded memory into recorded memory. To record computes too, which a GPU does not."""

    def __init__(self, function: Callable[..., Any], *inputs: Any) -> None:
        self.function, self._inputs = function, inputs
        self.result = function(*inputs)

    def replay(self) -> Any:
        for recorded, tensor in zip(self.made(self.result), self.made(self.function(*self._inputs)), strict=True):
            recorded.copy_(tensor)
        return self.result

    @staticmethod
    def made(result: Any) -> list[Tensor]:
        """What a result holds."""
        return tensors_of(result)


def without_streams(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """What is launched on a stream of a GPU is computed; the stand-in for `torch.cuda` notes what it was asked for."""
    cuda = MagicMock()
    for name in ("device", "stream", "graph"):
        getattr(cuda, name).return_value = nullcontext()
    for name in ("device", "stream", "graph", "current_stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    monkeypatch.setattr(replay, "_side_stream", cuda.side_stream)
    return cuda
