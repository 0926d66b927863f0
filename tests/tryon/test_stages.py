"""What each stage's loss is made of, put together once more from the losses and the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Garment, Person, Sample, stack
from tryon.engine import train_stage
from tryon.engine.checkpoints import load_checkpoint
from tryon.errors import InputError
from tryon.losses import PerceptualLoss, distillation_loss, generator_loss, warp_loss
from tryon.models import Student, TryOnModel, TryOnResult, Warped
from tryon.networks.flow import AppearanceFlow, map_of_offset
from tryon.stages import Recipe
from tryon.stages.student import StudentStage, StudentWarp
from tryon.stages.tutor import TutorStage, TutorWarp

WIDTH = 1 / 16


@pytest.fixture
def recipe(tiny_run: Path) -> Recipe:
    return Recipe(init=tiny_run, size=(64, 64), width=WIDTH, densepose=True, label_scheme="viton")


@pytest.fixture
def perceptual() -> PerceptualLoss:
    return PerceptualLoss(None, WIDTH)


@pytest.fixture
def sample(drawn_data: Path) -> Sample:
    folder = TryOnFolder(drawn_data, "train")
    return stack([folder.read_sample(folder.people[i], folder.people[i + 1]) for i in range(2)])


def warped_by(model: TryOnModel, person: Person, garment: Garment) -> Warped:
    return model.warp_garment(model.condition_features(person), garment)


def dressed_by(model: TryOnModel, person: Person, garment: Garment, region: Tensor | None) -> TryOnResult:
    """The try-on of a training step: on a real pair the garment shows in its region of the photo alone."""
    warped = warped_by(model, person, garment)
    assert model.generator is not None
    rendered, mask, copied = model.generator(model.generator_input(person, warped, region))
    shown = mask * warped.mask if region is None else mask * warped.mask * region
    return TryOnResult(warped, rendered, shown, copied, warped.garment * shown + rendered * (1 - shown))


def warp_losses(warped: Warped, sample: Sample, perceptual: PerceptualLoss) -> dict[str, Tensor]:
    garment, person = sample.garment, sample.person
    assert person.regions is not None
    region = person.regions.garment
    return warp_loss(warped.flow, garment.image, garment.mask, person.photo * region, region, perceptual)


def distillation(warped: Warped, tutors: Warped, sample: Sample) -> dict[str, Tensor]:
    """Weighted by whose warped garment is nearer to the photo's."""
    assert sample.person.regions is not None
    target = sample.person.photo * sample.person.regions.garment
    errors = [(garment - target).abs().mean(dim=(1, 2, 3)) for garment in (tutors.garment, warped.garment)]
    return distillation_loss(warped.flow, tutors.flow, (errors[0] < errors[1]).float())


def assert_terms(losses: Mapping[str, Tensor], *parts: tuple[str, float, Mapping[str, Tensor]]) -> None:
    """The losses are those of the parts, each under its prefix and times its share."""
    expected = {f"{prefix}_{name}": share * term for prefix, share, terms in parts for name, term in terms.items()}
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], msg=lambda text, name=name: f"{name}: {text}")


def test_the_tutors_warp_stage_learns_from_the_warp_losses(
    recipe: Recipe, perceptual: PerceptualLoss, sample: Sample
) -> None:
    stage = TutorWarp(recipe, perceptual)
    warped = warped_by(stage.model, sample.person, sample.garment)
    assert_terms(stage.step(sample, False).losses, ("warp", 1, warp_losses(warped, sample, perceptual)))


def test_the_tutors_generator_stage_adds_half_of_the_warp_losses(
    recipe: Recipe, perceptual: PerceptualLoss, sample: Sample
) -> None:
    stage, person = TutorStage(recipe, perceptual), sample.person
    assert person.regions is not None
    result = dressed_by(stage.model, person, sample.garment, person.regions.garment)
    generation = generator_loss(result.image, result.rendered, result.composition, person.photo, perceptual)
    assert_terms(
        stage.step(sample, False).losses,
        ("warp", 0.5, warp_losses(result.warped, sample, perceptual)),
        ("generator", 1, generation),
    )


def test_the_students_warp_stage_adds_what_is_distilled(
    recipe: Recipe, perceptual: PerceptualLoss, sample: Sample
) -> None:
    stage = StudentWarp(recipe, perceptual)
    with torch.no_grad():
        fake = dressed_by(stage.tutor, sample.person, sample.other, None)
        tutors = warped_by(stage.tutor, sample.person, sample.garment)
    warped = warped_by(stage.model, Person(fake.image, None, None, None), sample.garment)
    assert_terms(
        stage.step(sample, False).losses,
        ("warp", 1, warp_losses(warped, sample, perceptual)),
        ("warp_distilled", 1, distillation(warped, tutors, sample)),
    )


@pytest.mark.parametrize(("second_half", "half"), [(False, "first"), (True, "second")])
def test_the_students_generator_stage_adds_a_quarter_of_that_and_the_skin_of_its_half(
    recipe: Recipe, perceptual: PerceptualLoss, sample: Sample, second_half: bool, half: str
) -> None:
    stage, person = StudentStage(recipe, perceptual), sample.person
    assert person.regions is not None
    region = person.regions.garment
    with torch.no_grad():
        fake = dressed_by(stage.tutor, person, sample.other, None)
        tutors = warped_by(stage.tutor, person, sample.garment)
    result = dressed_by(stage.model, Person(fake.image, None, None, None), sample.garment, region)
    skin = fake.warped.mask * (1 - region)
    generation = generator_loss(
        result.image, result.rendered, result.composition, person.photo, perceptual, skin, half
    )  # fmt: skip
    assert_terms(
        stage.step(sample, second_half).losses,
        ("warp", 0.25, warp_losses(result.warped, sample, perceptual)),
        ("warp_distilled", 0.25, distillation(result.warped, tutors, sample)),
        ("generator", 1, generation),
    )


@pytest.mark.parametrize("wanted", [False, True])
def test_the_students_generator_starts_from_the_tutors_where_it_is_asked_to(
    recipe: Recipe, perceptual: PerceptualLoss, wanted: bool
) -> None:
    stage = StudentStage(replace(recipe, generator_from_tutor=wanted), perceptual)
    assert stage.model.generator is not None
    assert stage.tutor.generator is not None
    expected = stage.tutor.generator.state_dict()
    expected["down.0.0.weight"] = expected["down.0.0.weight"][:, :7]  # without the arms
    found = stage.model.generator.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found) == wanted


def test_a_garment_is_warped_with_its_border_and_its_mask_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Student(width=WIDTH, generator=False)
    beyond = AppearanceFlow((), map_of_offset(torch.full((1, 2, 64, 64), 100.0)))
    monkeypatch.setattr(model.warp, "estimate_flow", lambda *_: beyond)
    warped = model.warp_garment((), Garment(torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 64, 64)))
    assert (warped.garment == 0.5).all()
    assert not warped.mask.any()


def test_an_earlier_stage_of_another_label_scheme_is_refused(recipe: Recipe, perceptual: PerceptualLoss) -> None:
    with pytest.raises(InputError, match="found a model of viton labels, wanted lip as the data has"):
        TutorStage(replace(recipe, label_scheme="lip"), perceptual)


def test_the_optimiser_is_adam_of_the_published_betas_at_the_rate_of_its_step(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    folder = train_stage("tutor-warp", replace(tiny_config, out=tmp_path, steps=4, learning_rate=1e-4))
    (group,) = load_checkpoint(folder).optimiser["param_groups"]
    assert group["betas"] == (0.5, 0.999)
    assert group["lr"] == pytest.approx(0.5e-4)  # the last of four steps is half way down


def test_the_second_half_starts_in_the_middle(
    tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, object]] = []
    start_half, step = TutorWarp.start_half, TutorWarp.step

    def noted_start(stage, second_half):
        events.append(("half", second_half))
        start_half(stage, second_half)

    def noted_step(stage, sample, second_half):
        events.append(("step", second_half))
        return step(stage, sample, second_half)

    monkeypatch.setattr(TutorWarp, "start_half", noted_start)
    monkeypatch.setattr(TutorWarp, "step", noted_step)
    train_stage("tutor-warp", replace(tiny_config, out=tmp_path, steps=3))
    assert events == [("half", False), ("step", False), ("half", True), ("step", True), ("step", True)]
