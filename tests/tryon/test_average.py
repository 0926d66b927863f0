"""The moving average of the weights: what it is, and where it goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tryon.config import TrainConfig
from tryon.engine import train_stage
from tryon.engine.checkpoints import load_checkpoint
from tryon.errors import InputError
from tryon.losses import PerceptualLoss
from tryon.stages import Recipe
from tryon.stages.tutor import TutorStage
from tryon.weights import load_model

DECAY = 0.75  # a quarter of each step's weights, exact in float32
STEPS = 4
# The average of numbers up to 1 is one fused or two separate roundings a step away from that of real numbers.
TOLERANCE = STEPS * 2 * torch.finfo(torch.float32).eps


@pytest.fixture
def config(tiny_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    return replace(tiny_config, out=tmp_path / "run", steps=STEPS, average=DECAY, learning_rate=1e-2)


def floating(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters and batch-norm statistics, without the count of batches."""
    return {name: value.double() for name, value in state.items() if value.is_floating_point()}


def test_the_saved_model_is_the_average_of_the_weights_after_every_step_batch_norm_statistics_too(
    config: TrainConfig,
) -> None:
    folder = train_stage("tutor-warp", replace(config, picture_every=1, keep=STEPS))
    files = sorted((folder / "checkpoints").iterdir())
    states = [floating(torch.load(file, weights_only=True)["model"]) for file in files]
    assert len(states) == STEPS
    expected = dict(states[0])
    for state in states[1:]:
        expected = {name: DECAY * value + (1 - DECAY) * state[name] for name, value in expected.items()}
    saved = floating({f"warp.{name}": value for name, value in load_file(folder / "warp.safetensors").items()})
    assert saved.keys() == expected.keys()
    for name, value in saved.items():
        torch.testing.assert_close(value, expected[name], rtol=TOLERANCE, atol=TOLERANCE)
    assert any(name.endswith("running_var") for name in saved)
    assert not all(torch.equal(value, states[-1][name]) for name, value in saved.items())


def test_the_weights_that_learn_do_not_depend_on_it(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_stage("tutor-warp", config)
    without = train_stage("tutor-warp", replace(config, out=tmp_path / "without", average=None))
    averaged, plain = load_checkpoint(folder).model, load_checkpoint(without).model
    assert all(torch.equal(value, plain[name]) for name, value in averaged.items())


def test_a_run_does_not_go_on_with_another_average(config: TrainConfig) -> None:
    train_stage("tutor-warp", config)
    with pytest.raises(InputError, match=r"found a run with average 0\.75, wanted None; resume with the same"):
        train_stage("tutor-warp", replace(config, average=None, resume=True))


def test_the_next_stage_starts_from_the_average(config: TrainConfig) -> None:
    folder = train_stage("tutor-warp", config)
    averaged, _ = load_model(folder)
    recipe = Recipe(init=config.out, size=(64, 64), width=config.width, densepose=True, label_scheme="viton")
    stage = TutorStage(recipe, PerceptualLoss(None, config.width))
    wanted = averaged.warp.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in stage.model.warp.state_dict().items())
