"""Batch norms' statistics of weights that no longer change."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def settle_norms(model: nn.Module, forward: Callable[[], object], batches: int) -> None:
    """Take all batch norms' running statistics anew, as the mean over some batches; nothing is done for 0.

    In training they are a decaying mean of which the last twenty batches or so make nearly all: with batches of few
    samples a noisy one, of weights that still changed.

    Args:
        model: in training mode.
        forward: passes the next batch through the model.
        batches: how many.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)] if batches else []
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all
    for _ in range(batches):
        forward()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
