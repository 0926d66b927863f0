"""Other surroundings: what is drawn, and that the student's input and its target get the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tryon.config import TrainConfig
from tryon.data.condition import known_background
from tryon.data.folder import TryOnFolder
from tryon.data.labels import Regions
from tryon.data.sample import Garment, Person, Sample, stack
from tryon.data.surroundings import draw_surroundings
from tryon.losses import PerceptualLoss
from tryon.stages import Recipe, student
from tryon.stages.base import target_garment
from tryon.stages.student import StudentStage, StudentWarp

BATCH = 64  # enough that every kind of surroundings is among them


@pytest.fixture
def sample(drawn_data: Path) -> Sample:
    folder = TryOnFolder(drawn_data, "train")
    return stack([folder.read_sample(folder.people[i], folder.people[i + 1]) for i in range(4)])


@pytest.fixture
def stage(tiny_run: Path, tiny_config: TrainConfig) -> StudentWarp:
    recipe = Recipe(init=tiny_run, size=(64, 64), width=tiny_config.width, densepose=True, label_scheme="viton")
    return StudentWarp(recipe, PerceptualLoss(None, tiny_config.width))


def coloured(count: int) -> Sample:
    """Photos of nobody and garments over the whole picture, each sample of a colour of its own."""
    colours = torch.linspace(-1, 1, count).view(-1, 1, 1, 1).expand(count, 3, 64, 48).contiguous()
    nothing, all_over = torch.zeros(count, 1, 64, 48), torch.ones(count, 1, 64, 48)
    person = Person(colours, Regions(nothing, nothing, nothing, nothing, all_over), None, None)
    garment = Garment(colours, all_over)
    return Sample(person, garment, garment)


def test_they_are_a_function_of_batch_seed_step_and_place_alone() -> None:
    first, again = (draw_surroundings(coloured(4), seed=3, step=7) for _ in range(2))
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(first).items())
    for other in (
        draw_surroundings(coloured(4), seed=4, step=7),
        draw_surroundings(coloured(4), seed=3, step=8),
        draw_surroundings(coloured(4), seed=3, step=7, place=1),
    ):
        assert not torch.equal(first.cover, other.cover)


def test_a_backdrop_is_the_background_of_another_sample_and_its_mean_where_that_has_a_person() -> None:
    sample = coloured(3)
    person = torch.zeros(3, 1, 64, 48)
    person[:, :, 10:20] = 1
    regions = Regions(person, person, person, person, 1 - person)
    photo = torch.where(person > 0, 9.0, sample.person.photo)
    drawn = draw_surroundings(replace(sample, person=Person(photo, regions, None, None)), seed=0, step=0)
    torch.testing.assert_close(drawn.backdrop, sample.person.photo.roll(1, 0))


def test_some_samples_get_a_backdrop_and_some_an_occluder_of_another_samples_garment() -> None:
    drawn = draw_surroundings(coloured(BATCH), seed=0, step=0)
    assert 0 < drawn.exchanged.sum() < BATCH
    assert ((drawn.cover >= 0) & (drawn.cover <= 1)).all()
    covered = drawn.cover.mean(dim=(1, 2, 3))
    assert (covered == 0).any()
    assert (covered > 0).any()
    assert covered.max() < 0.5
    colours = coloured(BATCH).garment.image[:, 0, 0, 0]
    rounding = 4 * torch.finfo(torch.float32).eps  # a weighted sum, by the sum of its weights
    inside = [drawn.occluder[i, 0][drawn.cover[i, 0] == 1] - colours[i - 1] for i in range(BATCH)]
    assert any(len(difference) > 0 and difference.abs().max() <= rounding for difference in inside)


def test_input_and_target_differ_outside_fake_garment_and_person_in_nothing(stage: StudentWarp, sample: Sample) -> None:
    surroundings = draw_surroundings(sample, seed=0, step=1)
    assert surroundings.exchanged.any()
    assert surroundings.cover.any()
    known = stage.tutor_knowledge(replace(sample, surroundings=surroundings))
    plain = stage.tutor_knowledge(sample)
    background = known_background(sample.person) * (known.worn_mask == 0)
    same = ((background > 0) | (surroundings.cover == 1)).expand_as(known.target)
    torch.testing.assert_close(known.person.photo[same], known.target[same])
    person = ((known_background(sample.person) == 0) & (surroundings.cover == 0)).expand_as(known.target)
    assert torch.equal(known.target[person], sample.person.photo[person])
    fake = person | ((known.worn_mask == 1) & (surroundings.cover == 0)).expand_as(known.target)
    assert fake.sum() > person.sum()
    assert torch.equal(known.person.photo[fake], plain.person.photo[fake])


def test_without_them_the_student_sees_the_fake_image_and_is_to_render_the_photo(
    stage: StudentWarp, sample: Sample
) -> None:
    known = stage.tutor_knowledge(sample)
    assert torch.equal(known.person.photo, stage.tutor(sample.person, sample.other).image)
    assert known.target is sample.person.photo


def test_the_generator_is_held_to_the_photo_in_the_same_surroundings_and_the_warp_to_the_photo_itself(
    tiny_run: Path, tiny_config: TrainConfig, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(init=tiny_run, size=(64, 64), width=tiny_config.width, densepose=True, label_scheme="viton")
    stage = StudentStage(recipe, PerceptualLoss(None, tiny_config.width))
    surrounded = replace(sample, surroundings=draw_surroundings(sample, seed=0, step=1))
    targets = {}

    def noted(name, original, place):
        def call(*arguments, **options):
            targets[name] = arguments[place]
            return original(*arguments, **options)

        return call

    monkeypatch.setattr(student, "generator_loss", noted("generator", student.generator_loss, 3))
    monkeypatch.setattr(student, "better_tutor_weights", noted("warp", student.better_tutor_weights, 2))
    stage.step(surrounded, second_half=False)
    assert torch.equal(targets["generator"], stage.tutor_knowledge(surrounded).target)
    assert torch.equal(targets["warp"], target_garment(sample.person)[0])


@pytest.mark.parametrize("wanted", [False, True])
def test_training_shows_the_student_those_of_its_step_where_it_is_asked_to(
    samples_seen: Callable[..., list[Sample]], wanted: bool
) -> None:
    for i, sample in enumerate(samples_seen(surroundings=wanted)):
        if wanted:
            expected = draw_surroundings(sample, 5, *divmod(i, 2))
            assert all(torch.equal(value, getattr(expected, name)) for name, value in vars(sample.surroundings).items())
        else:
            assert sample.surroundings is None
