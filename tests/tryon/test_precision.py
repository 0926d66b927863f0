from __future__ import annotations

import torch
from torch import nn

from tryon.data.sample import Sample
from tryon.engine.precision import lower_frozen
from tryon.losses import PerceptualLoss
from tryon.precision import autocast
from tryon.stages import Recipe, StudentWarp

WIDTH = 1 / 16


def bfloat16_losses(stage: StudentWarp, sample: Sample) -> dict[str, torch.Tensor]:
    with autocast("bf16", "cpu"):
        return stage.step(sample, False).losses


def test_lowering_what_is_frozen_changes_no_bit_of_a_bfloat16_step(recipe: Recipe, sample: Sample) -> None:
    plain, lowered = (StudentWarp(recipe, PerceptualLoss(None, WIDTH)) for _ in range(2))
    lowered.model.load_state_dict(plain.model.state_dict())
    lower_frozen(lowered, "bf16")
    expected, losses = bfloat16_losses(plain, sample), bfloat16_losses(lowered, sample)
    assert all(torch.equal(losses[name], expected[name]) for name in expected)
    sum(expected.values()).backward()
    sum(losses.values()).backward()
    pairs = zip(plain.model.parameters(), lowered.model.parameters(), strict=True)
    assert all(torch.equal(mine.grad, other.grad) for mine, other in pairs)


def test_only_convolutions_that_never_learn_are_lowered(recipe: Recipe) -> None:
    stage = StudentWarp(recipe, PerceptualLoss(None, WIDTH))
    stage.start_half(False)  # much of the student waits, which is not being frozen
    lower_frozen(stage, "bf16")
    assert {value.dtype for value in stage.model.parameters()} == {torch.float32}
    assert {value.dtype for value in stage.perceptual.parameters()} == {torch.bfloat16}
    for module in stage.tutor.modules():
        own = {value.dtype for value in module.parameters(recurse=False)}
        assert own <= {torch.bfloat16 if isinstance(module, nn.Conv2d) else torch.float32}


def test_float32_training_lowers_nothing(recipe: Recipe) -> None:
    stage = StudentWarp(recipe, PerceptualLoss(None, WIDTH))
    lower_frozen(stage, "fp32")
    assert {value.dtype for value in stage.parameters()} == {torch.float32}
