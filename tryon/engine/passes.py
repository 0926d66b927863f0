"""A batch's way forward and back; on a GPU replayed from a CUDA graph, which does not wait for thousands of launches.

A step of the student's stage at 256 x 192 in bfloat16 launches some six thousand kernels, and launching them takes a
host several times as long as they run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tryon.data.sample import Sample, tensors_of

WARM_UP = 3
"""Batches that are passed kernel by kernel before the capture: ops choose their kernels, and libraries allocate."""


@dataclass(frozen=True)
class Passed:
    """What a batch's way left beside the gradients, without a record for derivatives.

    Attributes:
        names: of the loss terms.
        terms: their values, one after the other.
        pictures: N x 3 x H x W images in [-1, 1] by column title.
    """

    names: tuple[str, ...]
    terms: Tensor
    pictures: dict[str, Tensor]


Pass = Callable[[Sample], Passed]


class GraphedPass:
    """A pass that is captured as a CUDA graph, and replayed for the batches after it.

    Batches have the same shapes, and the same weights learn. Gradients are added to those that there are, as a
    backward does it. What a call returns is overwritten by the next one. The graph keeps the memory of a pass until
    this is let go.

    Args:
        eager: the pass, made of work for one GPU alone; nothing of it may be read by the host.
        learning: the weights whose gradients it leaves.
    """

    def __init__(self, eager: Pass, learning: list[nn.Parameter]) -> None:
        self.eager = eager
        self.learning = learning
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, sample: Sample) -> Passed:
        """Pass a batch."""
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._warm_up(sample)
        earlier = [(weight, weight.grad) for weight in self.learning if weight.grad is not None]
        if self.graph is None:
            self.graph = self._capture(sample)
        else:
            earlier = [(weight, gradient.clone()) for weight, gradient in earlier]  # may be what is overwritten now
            for own, given in zip(tensors_of(self.sample), tensors_of(sample), strict=True):
                own.copy_(given)
        self.graph.replay()
        for weight, gradient in self.gradients:
            weight.grad = gradient
        for weight, gradient in earlier:
            assert weight.grad is not None
            weight.grad.add_(gradient)
        return self.passed

    def _warm_up(self, sample: Sample) -> Passed:
        """On another stream than the default one, which a capture must not meet."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            passed = self.eager(sample)
        torch.cuda.current_stream().wait_stream(stream)
        return passed

    def _capture(self, sample: Sample) -> torch.cuda.CUDAGraph:
        """Record the pass; nothing is computed yet."""
        self.sample = sample  # its memory is where later batches are copied to
        for weight in self.learning:
            weight.grad = None  # so that the backward writes gradients instead of adding to some
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.passed = self.eager(sample)
        self.gradients = [(weight, weight.grad) for weight in self.learning if weight.grad is not None]
        return graph
