"""What guides a student: which terms it learns from, and what they reach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tryon.cli import main
from tryon.config import TrainConfig
from tryon.data.sample import Sample
from tryon.engine import train_stage
from tryon.errors import InputError
from tryon.losses import PerceptualLoss
from tryon.stages import GUIDANCE, Recipe, student
from tryon.stages.base import target_garment
from tryon.stages.student import DistilledStage, StudentStage, StudentWarp

DISTILLED = {
    "imitate": {"flow"},
    "none": set(),
    "features": {"features"},
    "full": {"features", "flow"},
    "always": {"features", "flow"},
}


def stage_of(recipe: Recipe, guidance: str, kind: type[DistilledStage] = StudentWarp) -> DistilledStage:
    torch.manual_seed(0)
    return kind(replace(recipe, guidance=guidance), PerceptualLoss(None, recipe.width))


def distilled_terms(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    begin = "warp_distilled_"
    return {name.removeprefix(begin): loss for name, loss in losses.items() if name.startswith(begin)}


def test_published_training_has_both_terms_where_the_tutor_is_better() -> None:
    published = GUIDANCE[TrainConfig(data=Path(), out=Path()).guidance]
    assert (set(published.distilled), published.adjusted, published.imitates) == ({"features", "flow"}, True, False)


@pytest.mark.parametrize("kind", [StudentWarp, StudentStage])
@pytest.mark.parametrize("guidance", GUIDANCE)
def test_each_guidance_distills_its_terms_and_reaches_the_student_alone(
    recipe: Recipe, sample: Sample, guidance: str, kind: type[DistilledStage]
) -> None:
    stage = stage_of(recipe, guidance, kind)
    losses = stage.step(sample, second_half=True).losses
    assert distilled_terms(losses).keys() == DISTILLED[guidance]
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.grad is None for value in stage.tutor.parameters())
    assert all(value.grad is not None for value in stage.model.warp.parameters())


@pytest.mark.parametrize("guidance", [name for name, terms in DISTILLED.items() if terms])
def test_only_an_adjustable_distillation_is_nothing_where_the_tutor_is_worse(
    recipe: Recipe, sample: Sample, monkeypatch: pytest.MonkeyPatch, guidance: str
) -> None:
    monkeypatch.setattr(student, "better_tutor_weights", lambda *garments: torch.zeros(2))
    terms = distilled_terms(stage_of(recipe, guidance).step(sample, second_half=True).losses)
    assert all((loss == 0) == GUIDANCE[guidance].adjusted for loss in terms.values())


def test_without_distillation_the_tutors_warp_of_the_own_garment_changes_nothing(
    recipe: Recipe, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses_with_tutors(warped_by: str) -> list[float]:
        stage = stage_of(recipe, "none")
        knowledge = stage.tutor_knowledge(sample)
        if warped_by == "another":
            knowledge = replace(knowledge, warped=stage.tutor.warp_garment(
                stage.tutor.condition_features(sample.person), sample.other
            ))  # fmt: skip
        monkeypatch.setattr(stage, "tutor_knowledge", lambda _: knowledge)
        return [loss.item() for loss in stage.step(sample, second_half=True).losses.values()]

    assert losses_with_tutors("itself") == losses_with_tutors("another")


def test_who_imitates_sees_the_photo_and_is_held_to_the_fake_image_and_its_garment(
    recipe: Recipe, sample: Sample
) -> None:
    stage = stage_of(recipe, "imitate")
    known = stage.tutor_knowledge(sample)
    with torch.no_grad():
        fake = stage.tutor(sample.person, sample.other)
    assert torch.equal(known.person.photo, sample.person.photo)
    assert known.person.regions is None
    assert known.garment is sample.other
    torch.testing.assert_close(known.target, fake.image)
    torch.testing.assert_close(known.region, fake.warped.mask)
    torch.testing.assert_close(known.target_garment, fake.image * fake.warped.mask)
    torch.testing.assert_close(known.warped.flow.sampling_map, fake.warped.flow.sampling_map)
    assert torch.equal(known.worn_mask, target_garment(sample.person)[1])


def test_the_losses_come_from_what_the_student_is_given_and_from_no_other_photo(
    recipe: Recipe, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(recipe, "imitate", StudentStage)
    known = stage.tutor_knowledge(sample)
    monkeypatch.setattr(stage, "tutor_knowledge", lambda _: known)
    another = replace(sample, person=replace(sample.person, photo=-sample.person.photo))
    losses = [[loss.item() for loss in stage.step(each, False).losses.values()] for each in (sample, another)]
    assert losses[0] == losses[1]


def test_a_run_records_its_guidance_and_goes_on_with_no_other(
    tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
) -> None:
    small = ("--width", 1 / 16, "--steps", 2, "--batch", 2, "--workers", 0, "--device", "cpu")
    where = ("--data", tiny_config.data, "--init", tiny_run, "--out", tmp_path)
    assert main([*map(str, ("train", "student-warp", *where, *small, "--guidance", "features"))]) == 0
    record = json.loads((tmp_path / "student-warp" / "run.json").read_text())
    assert record["settings"]["guidance"] == record["config"]["guidance"] == "features"
    with pytest.raises(InputError, match="found a run with guidance features, wanted full"):
        train_stage("student-warp", replace(tiny_config, init=tiny_run, out=tmp_path, resume=True))


def test_an_unknown_guidance_is_refused() -> None:
    with pytest.raises(InputError, match="guidance: found 'photos', wanted one of imitate, none, features, full, al"):
        TrainConfig(data=Path(), out=Path(), guidance="photos")
