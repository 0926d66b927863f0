"""Every stage against the published one in its plain form, in float64: losses, gradients and two updates."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.plain.copies import plain_form
from benchmarks.plain.stages import Stage as PlainStage
from benchmarks.plain.stages import optimiser_of, train_step
from tryon.conversion import key_table
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Sample, stack
from tryon.engine.loop import ADAM_BETAS
from tryon.losses import PerceptualLoss
from tryon.models import TryOnModel
from tryon.stages import STAGES, Recipe, Stage
from tryon.weights import save_model

WIDTH = 1 / 16
SEED = 40  # with it the tutor is nearer to the photo than the student in one of the two samples
EPSILON = torch.finfo(torch.float64).eps

# How far rounding carries depends on weights and data: normalising a few nearly equal values makes much of it. So the
# plain form is trained once more, each weight moved to a neighbouring number: one rounding a weight. A result is also
# made of sums of up to 8,192 products (the pixels of the batch) in another order, whose error is some 90 roundings.
ROUNDINGS = 100
LARGEST_TOLERANCE = 1e-4  # of a tensor's largest number: a wrong weight, rate or input is off by far more


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Every stage finds the one before it as it begins."""
    recipe = Recipe(tmp_path_factory.mktemp("begun"), size=(64, 64), width=WIDTH, densepose=True, label_scheme="viton")
    perceptual = PerceptualLoss(None, WIDTH)
    for name, stage_type in STAGES.items():
        stage = stage_type(recipe, perceptual)
        save_model(recipe.init / name, stage.model, stage.record(0))
    return recipe


@pytest.fixture(scope="module")
def sample(drawn_data: Path) -> Sample:
    folder = TryOnFolder(drawn_data, "train")
    return as_float64(stack([folder.read_sample(folder.people[i], folder.people[i + 1]) for i in range(2)]))


def as_float64(item: Any) -> Any:
    """Raise a dataclass's pictures and positions; part indices stay whole numbers."""
    if item is None:
        return None
    if isinstance(item, Tensor):
        return item.double() if item.is_floating_point() else item
    return type(item)(**{field.name: as_float64(getattr(item, field.name)) for field in fields(item)})


@torch.no_grad()
def draw_weights(model: nn.Module, seed: int) -> None:
    """As after some training: offsets of about a pixel, and no two normalisations alike."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(like: Tensor) -> Tensor:
        return 2 * torch.rand(like.shape, dtype=like.dtype, generator=generator) - 1

    for name, value in model.state_dict().items():
        if value.ndim == 4:
            scale = 2 if ".correlation." in name or ".refinement." in name else 1
            value.copy_(scale * drawn(value) / value[0].numel() ** 0.5)
        elif name.endswith(("running_var", "weight")):
            value.copy_(1 + 0.5 * drawn(value))
        elif value.is_floating_point():
            value.copy_(0.3 * drawn(value))


@torch.no_grad()
def nudge(module: nn.Module) -> None:
    """Move every parameter to a neighbouring number, up or down."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        sign = torch.rand(parameter.shape, dtype=parameter.dtype, generator=generator).sub(0.5).sign()
        parameter.mul_(1 + EPSILON * sign)


@dataclass(frozen=True)
class Training:
    """Two updates: the losses of both, the first's gradients, and what has changed in the end, by published names."""

    losses: dict[str, Tensor]
    gradients: dict[str, Tensor]
    weights: dict[str, Tensor]
    statistics: dict[str, Tensor]


def two_updates(
    step: Callable[[], Mapping[str, Tensor]], trained: Mapping[str, nn.Parameter], state: Mapping[str, Tensor]
) -> Training:
    before = {name: value.clone() for name, value in state.items()}
    losses = {f"first {name}": loss.detach() for name, loss in step().items()}
    gradients = {name: parameter.grad.clone() for name, parameter in trained.items()}
    losses |= {f"second {name}": loss.detach() for name, loss in step().items()}
    changes = {name: (value - before[name]).double() for name, value in state.items()}
    of_norms = {name for name in changes if name.endswith(("running_mean", "running_var", "tracked"))}
    return Training(
        losses,
        gradients,
        {name: change for name, change in changes.items() if name not in of_norms},
        {name: change for name, change in changes.items() if name in of_norms},
    )


def under_published_names(model: TryOnModel, tensors_of: Callable[[nn.Module], Mapping[str, Any]]) -> dict[str, Any]:
    """What `tensors_of` gives for each network of a model."""
    named = {}
    for kind, network in model.named_children():
        tensors = tensors_of(network)
        table = key_table(f"{model.role}_{kind}").items()
        named |= {f"{kind}.{published}": tensors[key] for published, key in table if key in tensors}
    return named


def train_ours(stage: Stage, sample: Sample, second_half: bool) -> Training:
    stage.start_half(second_half)
    optimiser = Adam(stage.parameter_groups(stage.learning_rate), betas=ADAM_BETAS)

    def step() -> dict[str, Tensor]:
        losses = stage.step(sample, second_half).losses
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        return losses

    parameters = under_published_names(stage.model, lambda network: dict(network.named_parameters()))
    trained = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    return two_updates(step, trained, under_published_names(stage.model, nn.Module.state_dict))


def train_plain(stage: PlainStage, sample: Sample, second_half: bool) -> Training:
    optimiser = optimiser_of(stage, second_half)
    chosen = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    trained = {name: parameter for name, parameter in stage.named_parameters() if id(parameter) in chosen}
    state = {name: value for name, value in stage.state_dict().items() if name.startswith(("warp.", "generator."))}
    return two_updates(lambda: train_step(stage, optimiser, sample, second_half), trained, state)


def difference(actual: Tensor, expected: Tensor) -> float:
    """The largest difference of two tensors by the largest number of the second."""
    if torch.equal(actual, expected):
        return 0.0
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize(
    ("name", "second_half"),
    [
        ("tutor-warp", False),
        ("tutor", False),
        ("student-warp", False),
        ("student-warp", True),
        ("student", False),
        ("student", True),
    ],
)
def test_a_stage_trains_as_the_published_one_does(recipe: Recipe, sample: Sample, name: str, second_half: bool) -> None:
    stage = STAGES[name](recipe, PerceptualLoss(None, WIDTH)).double()
    draw_weights(stage.model, SEED)
    if name.startswith("student"):
        draw_weights(stage.tutor, SEED + 1)
    plain = plain_form(stage)
    nudged = copy.deepcopy(plain)
    nudge(nudged)
    ours = train_ours(stage, sample, second_half)
    expected, moved = (train_plain(one, sample, second_half) for one in (plain, nudged))
    assert all(loss > 0 for loss in expected.losses.values())
    for field in fields(Training):
        actual, wanted, other = (getattr(training, field.name) for training in (ours, expected, moved))
        assert actual.keys() == wanted.keys()
        tolerance = ROUNDINGS * max(difference(other[key], wanted[key]) for key in wanted)
        assert tolerance < LARGEST_TOLERANCE
        off = {key: difference(actual[key], wanted[key]) for key in wanted}
        assert {key: error for key, error in off.items() if not error <= tolerance} == {}, f"{field.name}: {tolerance}"
