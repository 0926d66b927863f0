"""What a CUDA graph can hold: work of one device. Meta tensors stand for it, of which no number can be read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")


class OnOneDevice(TorchDispatchMode):
    """Refuses an op that takes or makes a tensor elsewhere: a copy from or to the host waits for the GPU.

    A number put into a part of a tensor goes through one of the host's.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten.scalar_tensor.default, "a number of the host"
        results = func(*args, **(kwargs or {}))
        elsewhere = [t.device for t in tensors_of((args, kwargs, results)) if t.device != META and t.numel()]
        assert not elsewhere, f"{func} with tensors on {elsewhere}"
        return results


def tensors_of(arguments: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
