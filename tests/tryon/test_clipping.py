"""Gradients with a largest norm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tryon.config import TrainConfig
from tryon.engine import train_stage
from tryon.engine.checkpoints import load_checkpoint
from tryon.engine.loop import ADAM_BETAS

LARGE = 1e6  # no gradient of a drawn sample is near


def first_gradient(config: TrainConfig, out: Path, clip: float | None, **options: int) -> Tensor:
    """All of the first step's, in float64: Adam's mean of gradients after a step is a part of it."""
    config = replace(config, out=out, steps=1, clip_gradients=clip, **options)
    train_stage("tutor-warp", config)
    state = load_checkpoint(out / "tutor-warp").optimiser["state"]
    return torch.cat([value["exp_avg"].double().flatten() for value in state.values()]) / (1 - ADAM_BETAS[0])


@pytest.mark.parametrize("options", [{}, {"batch": 2, "accumulate": 2}])
def test_a_steps_gradients_are_all_made_smaller_by_one_factor_to_the_norm_asked_for(
    tiny_config: TrainConfig, tmp_path: Path, options: dict[str, int]
) -> None:
    whole = first_gradient(tiny_config, tmp_path / "whole", None, **options)
    clip = whole.norm().item() / 3
    clipped = first_gradient(tiny_config, tmp_path / "clipped", clip, **options)
    # A float32 norm of float32 norms, to which torch adds 1e-6, a quotient, a product.
    torch.testing.assert_close(clipped, whole / 3, rtol=1e-5, atol=1e-5 * clip)
    assert clipped.norm().item() == pytest.approx(clip, rel=1e-5)


def test_smaller_gradients_stay_as_they_are(tiny_config: TrainConfig, tmp_path: Path) -> None:
    whole, same = (first_gradient(tiny_config, tmp_path / str(clip), clip) for clip in (None, LARGE))
    assert torch.equal(whole, same)
    assert whole.norm() > 0
