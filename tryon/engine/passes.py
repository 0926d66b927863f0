"""A batch's way forward and back; on a GPU replayed from a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from tryon.data.sample import Sample
from tryon.replay import WARM_UP, Recording, launch


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
        self.recording: Recording[Passed] | None = None

    def __call__(self, sample: Sample) -> Passed:
        """Pass a batch."""
        self.calls += 1
        if self.calls <= WARM_UP:
            return launch(self.eager, sample)
        earlier = [(weight, weight.grad) for weight in self.learning if weight.grad is not None]
        if self.recording is None:
            self.recording = self._record(sample)
        else:
            earlier = [(weight, gradient.clone()) for weight, gradient in earlier]  # may be what is overwritten now
            self.recording.put(sample)
        passed = self.recording.replay()
        for weight, gradient in self.gradients:
            weight.grad = gradient
        for weight, gradient in earlier:
            assert weight.grad is not None
            weight.grad.add_(gradient)
        return passed

    def _record(self, sample: Sample) -> Recording[Passed]:
        """Record the pass; nothing is computed yet."""
        for weight in self.learning:
            weight.grad = None  # so that the backward writes gradients instead of adding to some
        recording = Recording(self.eager, sample)
        self.gradients = [(weight, weight.grad) for weight in self.learning if weight.grad is not None]
        return recording
