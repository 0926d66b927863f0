"""Fake pictures laid into their photos: where, what becomes of them, and that the student alone sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tryon.data.composite import composited, draw_blots
from tryon.data.labels import Regions
from tryon.data.sample import Person, Sample
from tryon.losses import PerceptualLoss
from tryon.stages import Recipe
from tryon.stages.student import StudentWarp

SIZE = (64, 48)


def test_places_are_a_function_of_seed_step_and_place_alone() -> None:
    first = draw_blots(4, *SIZE, seed=3, step=7)
    assert torch.equal(first, draw_blots(4, *SIZE, seed=3, step=7))
    others = [draw_blots(4, *SIZE, 4, 7), draw_blots(4, *SIZE, 3, 8), draw_blots(4, *SIZE, 3, 7, place=1)]
    assert not any(torch.equal(first, other) for other in others)


def test_places_are_few_or_many_and_whole_or_none_at_each_pixel() -> None:
    blots = draw_blots(400, *SIZE, seed=0, step=0)
    assert blots.shape == (400, 1, *SIZE)
    assert set(blots.unique().tolist()) == {0, 1}
    shares = blots.mean(dim=(1, 2, 3))
    assert all(part.float().mean() > 0.2 for part in (shares < 0.35, shares > 0.65))
    assert (blots.mean(dim=0) - 0.5).abs().max() < 0.15  # nowhere more often than elsewhere


def test_places_are_blots_not_single_pixels() -> None:
    blots = draw_blots(100, *SIZE, seed=0, step=0)
    edges = (blots[:, :, 1:] != blots[:, :, :-1]).float().mean()
    assert edges < 3 / SIZE[0]  # a column crosses three outlines at most, in the mean


def person_and_fake() -> tuple[Person, Tensor, Tensor]:
    """A photo of noise, of which each third of the columns is garment, arm or background, and another picture."""
    generator = torch.Generator().manual_seed(0)
    photo, fake = (torch.rand(2, 3, *SIZE, generator=generator) for _ in range(2))
    garment, arms, background = (torch.zeros(2, 1, *SIZE) for _ in range(3))
    garment[..., :16], arms[..., 16:32], background[..., 32:] = 1, 1, 1
    nothing = torch.zeros_like(arms)
    return Person(photo, Regions(garment, nothing, nothing, arms, background), None, None), fake, arms + background


def test_a_fake_has_the_photos_arms_and_background_in_the_places_and_is_itself_elsewhere() -> None:
    person, fake, unclothed = person_and_fake()
    blots = draw_blots(2, *SIZE, seed=0, step=0)
    seen = composited(fake, torch.zeros(2, 1, *SIZE), person, blots)
    assert 0 < (blots * unclothed).mean() < unclothed.mean()
    assert torch.equal(seen, torch.where(blots * unclothed > 0, person.photo, fake))


def test_the_other_garment_stays_over_them_by_its_mask() -> None:
    person, fake, unclothed = person_and_fake()
    worn = torch.zeros(2, 1, *SIZE)
    worn[:, :, :20], worn[:, :, 20:40] = 1, 0.25
    seen = composited(fake, worn, person, torch.ones(2, 1, *SIZE))
    torch.testing.assert_close(seen, torch.lerp(fake, person.photo, unclothed * (1 - worn)), rtol=0, atol=0)
    assert torch.equal(seen[:, :, :20], fake[:, :, :20])


def test_what_densepose_says_is_a_body_is_no_background() -> None:
    """Parsing alone calls necks so."""
    person, fake, _ = person_and_fake()
    densepose = torch.zeros(2, *SIZE, dtype=torch.long)
    densepose[:, :10, 32:] = 1
    nowhere = torch.zeros(2, 1, *SIZE)
    seen = composited(fake, nowhere, replace(person, densepose=densepose), 1 - nowhere)
    assert torch.equal(seen[:, :, :10, 32:], fake[:, :, :10, 32:])
    assert torch.equal(seen[:, :, 10:, 32:], person.photo[:, :, 10:, 32:])


@pytest.fixture
def blots() -> Tensor:
    return draw_blots(2, 64, 64, seed=1, step=1)


def test_the_student_sees_it_and_is_held_to_what_it_was(recipe: Recipe, sample: Sample, blots: Tensor) -> None:
    stage = StudentWarp(recipe, PerceptualLoss(None, recipe.width))
    plain, known = (stage.tutor_knowledge(one) for one in (sample, replace(sample, blots=blots)))
    seen = composited(plain.person.photo, plain.worn_mask, sample.person, blots)
    assert not torch.equal(seen, plain.person.photo)
    assert torch.equal(known.person.photo, seen)
    for name in ("worn_mask", "target", "target_garment", "region"):
        assert torch.equal(getattr(known, name), getattr(plain, name))
    assert torch.equal(known.warped.garment, plain.warped.garment)
