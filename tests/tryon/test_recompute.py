"""Activations that are computed again: what comes out, and what stays in memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tryon.data.sample import Sample
from tryon.engine.recompute import recompute_activations
from tryon.losses import PerceptualLoss
from tryon.stages import STAGES, Recipe, Stage

WIDTH = 1 / 16


def step(stage: Stage, sample: Sample, second_half: bool) -> dict[str, torch.Tensor]:
    stage.start_half(second_half)
    losses = stage.step(sample, second_half).losses
    torch.stack(list(losses.values())).sum().backward()
    return losses


@pytest.mark.parametrize("second_half", [False, True])
@pytest.mark.parametrize("name", STAGES)
def test_losses_gradients_and_running_statistics_are_the_same_bits(
    recipe: Recipe, sample: Sample, name: str, second_half: bool
) -> None:
    kept = STAGES[name](recipe, PerceptualLoss(None, WIDTH))
    again = copy.deepcopy(kept)
    recompute_activations(again.model)
    expected, losses = step(kept, sample, second_half), step(again, sample, second_half)
    assert all(torch.equal(losses[name], value) for name, value in expected.items())
    pairs = zip(kept.model.parameters(), again.model.parameters(), strict=True)
    assert all(one.grad is two.grad is None or torch.equal(one.grad, two.grad) for one, two in pairs)
    state = again.model.state_dict()
    assert state.keys() == kept.model.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in kept.model.state_dict().items())


def test_less_than_half_as_much_is_kept_for_the_backward(recipe: Recipe, sample: Sample) -> None:
    kept = STAGES["student"](recipe, PerceptualLoss(None, WIDTH))
    again = copy.deepcopy(kept)
    recompute_activations(again.model)
    assert bytes_kept(again, sample) < 0.5 * bytes_kept(kept, sample)


def bytes_kept(stage: Stage, sample: Sample) -> int:
    """That a pass has allocated and not freed: what waits for the backward, and a result."""
    stage.model.train()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        result = stage.model(sample.person, sample.garment)
    assert result.image.requires_grad
    return sum(event.self_cpu_memory_usage for event in recorded.events())
