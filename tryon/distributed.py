"""Numbers of all processes that train together, each on its part of every batch. Alone, none of it costs anything."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def processes() -> int:
    """How many train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return distributed.get_rank() if processes() > 1 else 0


def leads() -> bool:
    """Whether this is the process that writes and speaks for all."""
    return rank() == 0


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, the same bits in each; without gradient."""
    if processes() == 1:
        return tensor.detach()
    total = tensor.detach().clone()
    distributed.all_reduce(total)
    return total


def averaged(tensor: Tensor) -> Tensor:
    """The mean over all processes, the same bits in each; without gradient."""
    return summed(tensor) / processes()


def largest(number: int) -> int:
    """The largest of all processes' numbers."""
    if processes() == 1:
        return number
    shared = torch.tensor(number)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared.item())
