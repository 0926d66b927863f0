"""Maps that are made again in the backward."""

from __future__ import annotations

import weakref
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tryon.networks.blocks import scaled_channels
from tryon.networks.features import PYRAMID_CHANNELS
from tryon.networks.flow import FlowNetwork
from tryon.networks.generator import GENERATOR_CHANNELS, Generator
from tryon.networks.remade import remade

WIDTH = 1 / 16


def doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


class Enlarged(nn.Module):
    """A convolution of an enlarged map, which is kept or made again."""

    def __init__(self, kept: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 4, 3)
        self.kept = kept
        self.enlarged: weakref.ref[Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        enlarged = doubled(features)
        self.enlarged = weakref.ref(enlarged)
        if self.kept:
            return self.convolution(enlarged).square()
        with remade(enlarged, partial(doubled, features)):
            return self.convolution(enlarged).square()


def gradients(model: Enlarged, output: Tensor, features: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output.sum(), [features, *model.parameters()])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_values_and_gradients_are_those_of_a_map_that_is_kept(checkpointed: bool, layout: torch.memory_format) -> None:
    features = torch.randn(2, 3, 4, 5).to(memory_format=layout).requires_grad_()
    found = []
    for kept in (True, False):
        model = Enlarged(kept)
        output = checkpoint(model, features, use_reentrant=False) if checkpointed else model(features)
        found.append((output, *gradients(model, output, features)))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("kept", [True, False])
def test_the_map_is_in_memory_until_the_backward_only_where_it_is_kept(kept: bool) -> None:
    model = Enlarged(kept)
    output = model(torch.randn(2, 3, 4, 5).requires_grad_())
    assert model.enlarged is not None
    assert (model.enlarged() is not None) == kept
    output.sum().backward()


def test_it_does_nothing_where_nothing_is_recorded() -> None:
    model, features = Enlarged(False), torch.randn(1, 3, 4, 5)
    with torch.no_grad():
        assert torch.equal(model(features), Enlarged(True)(features))


def shapes_kept(network: nn.Module, *inputs: Tensor) -> set[tuple[int, ...]]:
    shapes = set()

    def note(kept: Tensor) -> Tensor:
        shapes.add(tuple(kept.shape))
        return kept

    with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        network(*inputs)
    return shapes


def test_a_generator_keeps_none_of_what_it_enlarges() -> None:
    last = (1, 2 * scaled_channels(GENERATOR_CHANNELS[0], WIDTH), 64, 64)  # what its last convolution is given
    assert last not in shapes_kept(Generator(7, WIDTH), torch.randn(1, 7, 64, 64))


def test_a_flow_keeps_none_of_the_features_that_it_joins() -> None:
    channels = scaled_channels(PYRAMID_CHANNELS, WIDTH)
    pyramids = [[torch.randn(1, channels, 2**k, 2**k, requires_grad=True) for k in range(1, 6)] for _ in range(2)]
    shapes = shapes_kept(FlowNetwork(WIDTH), *pyramids)
    assert (1, channels, 32, 32) in shapes
    assert (1, 2 * channels, 32, 32) not in shapes
