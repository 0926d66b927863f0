"""A small network that matches two pictures with the ops under test."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import tryon_kernels as tk
from tryon_kernels.backends import serving

OPS = ("warp", "grid_sample", "correlation", "warp_correlation")
needs_kernels = pytest.mark.skipif(serving("cpu") == "stock", reason="no compiled kernels serve the CPU")


class Matcher(nn.Module):
    """Features of both pictures by a convolution, positions by another, then each of the ops named."""

    def __init__(self, ops: Sequence[str] = OPS) -> None:
        super().__init__()
        self.ops = tuple(ops)
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.positions = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, person: Tensor, garment: Tensor) -> tuple[Tensor, ...]:
        first, second = self.features(person), self.features(garment)
        at = self.positions(first)
        return tuple(self.result(op, first, second, at) for op in self.ops)

    def result(self, op: str, first: Tensor, second: Tensor, at: Tensor) -> Tensor:
        if op == "warp":
            return tk.warp(second, at)
        if op == "grid_sample":
            return tk.grid_sample(second, at.permute(0, 2, 3, 1), align_corners=False)
        if op == "correlation":
            return tk.correlation(first, second, radius=1, stride=2, negative_slope=0.1)
        return tk.warp_correlation(first, second, at.permute(0, 2, 3, 1), radius=1, negative_slope=0.1)


def matcher(ops: Sequence[str] = OPS) -> Matcher:
    """The network with the same weights each time."""
    torch.manual_seed(0)
    return Matcher(ops)


def pictures(count: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    person, garment = (torch.rand(count, 3, height, width, generator=generator) for _ in range(2))
    return person, garment


def loss_of(results: Sequence[Tensor]) -> Tensor:
    """A number that is a mean over the batch."""
    return torch.stack([result.square().mean() for result in results]).sum()


def gradients_of(network: nn.Module, results: Sequence[Tensor]) -> dict[str, Tensor]:
    """Gradients of the network's weights."""
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    gradients = torch.autograd.grad(loss_of(results), list(weights.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(weights, gradients, strict=True) if gradient is not None}
