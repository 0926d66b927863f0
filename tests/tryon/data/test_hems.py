"""Other hems: what is drawn, what becomes of a fake picture, and that the student alone sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tryon.data.hems import REACH, draw_hems, moved_hems
from tryon.data.labels import Regions
from tryon.data.sample import Sample
from tryon.losses import PerceptualLoss
from tryon.stages import Recipe
from tryon.stages.student import StudentWarp

HEIGHT, WIDTH = 40, 12
COLLAR, HEM, FEET = 10, 20, 38  # rows
BODY, ARM = slice(3, 8), slice(8, 10)  # columns


def test_they_are_a_function_of_seed_step_and_place_alone() -> None:
    first = draw_hems(8, seed=3, step=7)
    assert torch.equal(first, draw_hems(8, seed=3, step=7))
    others = [draw_hems(8, 4, 7), draw_hems(8, 3, 8), draw_hems(8, 3, 7, place=1)]
    assert not any(torch.equal(first, other) for other in others)


def test_they_move_down_as_up_and_a_little_more_often_than_far() -> None:
    moves = draw_hems(4000, seed=0, step=0)
    assert moves.dtype == torch.float32
    assert 0.95 * REACH < moves.abs().max() <= REACH
    assert moves.mean().abs() < 0.05 * REACH
    # Of a difference of two that are evenly distributed.
    assert (moves.abs() < REACH / 2).float().mean() == pytest.approx(0.75, abs=0.04)


def rows_of(worn: Tensor, *rows: int) -> Tensor:
    """Moves by numbers of rows."""
    return torch.tensor(rows) / (worn.amax(dim=(0, 1, 3)) > 0.5).sum()


def picture() -> tuple[Tensor, Tensor, Regions]:
    """A fake whose pixels have the number of their row, where its garment is, and the photo's regions."""
    fake = torch.arange(HEIGHT, dtype=torch.float32).view(1, 1, -1, 1).expand(1, 3, HEIGHT, WIDTH).contiguous()

    def region(rows: slice, columns: slice) -> Tensor:
        mask = torch.zeros(1, 1, HEIGHT, WIDTH)
        mask[:, :, rows, columns] = 1
        return mask

    garment, below = region(slice(COLLAR, HEM), BODY), region(slice(HEM, FEET), BODY)
    arms, face = region(slice(COLLAR, FEET), ARM), region(slice(0, COLLAR), BODY)
    return fake, garment, Regions(garment, face, below, arms, 1 - garment - below - arms - face)


def test_a_garment_goes_on_below_its_hem_over_other_clothes_alone() -> None:
    fake, worn, regions = picture()
    worn[:, :, COLLAR:HEM, ARM] = 1  # a sleeve
    seen, now = moved_hems(fake, worn, regions, rows_of(worn, 5))
    wanted, covered = fake.clone(), worn.clone()
    wanted[:, :, HEM : HEM + 5, BODY] -= 5
    covered[:, :, HEM : HEM + 5, BODY] = 1
    assert torch.equal(seen, wanted)
    assert torch.equal(now, covered)


def test_other_clothes_go_on_above_the_hem_within_the_garment_alone() -> None:
    fake, worn, regions = picture()
    seen, now = moved_hems(fake, worn, regions, rows_of(worn, -5))
    wanted, covered = fake.clone(), worn.clone()
    wanted[:, :, HEM - 5 : HEM, BODY] += 5
    covered[:, :, HEM - 5 : HEM, BODY] = 0
    assert torch.equal(seen, wanted)
    assert torch.equal(now, covered)


def test_no_further_than_there_is_of_what_goes_on() -> None:
    """Or a strip of it would lie apart from the rest."""
    fake, worn, regions = picture()
    worn[:, :, : HEM - 4] = 0  # four rows of a garment; below are eighteen of other clothes
    for rows, reached in ((7, 4), (-25, -18)):
        found = moved_hems(fake, worn, regions, rows_of(worn, rows))
        wanted = moved_hems(fake, worn, regions, rows_of(worn, reached))
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_hem_that_stays_changes_nothing_and_each_sample_has_its_own() -> None:
    fake, worn, regions = picture()
    worn[:, :, HEM : HEM + 2, BODY] = 0.5  # no mask fits its clothes
    both = Regions(*(value.expand(3, -1, -1, -1) for value in vars(regions).values()))
    given = fake.expand(3, -1, -1, -1), worn.expand(3, -1, -1, -1)
    seen, now = moved_hems(*given, both, rows_of(worn, 5, 0, -5))
    assert torch.equal(seen[1:2], fake)
    assert torch.equal(now[1:2], worn)
    for i, rows in ((0, 5), (2, -5)):
        alone = moved_hems(fake, worn, regions, rows_of(worn, rows))
        assert torch.equal(seen[i : i + 1], alone[0])
        assert torch.equal(now[i : i + 1], alone[1])


def test_what_is_beyond_the_frame_does_not_go_on() -> None:
    fake, worn, _ = picture()
    worn[:, :, 0] = 1  # a garment in the first row, above which nothing is known
    clothes = Regions(1 - worn, worn * 0, worn, worn * 0, worn * 0)
    seen, now = moved_hems(fake, worn, clothes, rows_of(worn, 5))
    assert torch.equal(seen[:, :, 1:5], fake[:, :, 1:5])
    assert torch.equal(now[:, :, 1:5], worn[:, :, 1:5])


def test_the_student_sees_them_and_is_held_to_what_it_was(recipe: Recipe, sample: Sample) -> None:
    stage = StudentWarp(recipe, PerceptualLoss(None, recipe.width))
    plain, known = (stage.tutor_knowledge(one) for one in (sample, replace(sample, hems=torch.tensor([0.2, -0.2]))))
    seen, mask = moved_hems(plain.person.photo, plain.worn_mask, sample.person.regions, torch.tensor([0.2, -0.2]))
    assert not torch.equal(seen, plain.person.photo)
    assert torch.equal(known.person.photo, seen)
    assert torch.equal(known.worn_mask, mask)
    for name in ("target", "target_garment", "region"):
        assert torch.equal(getattr(known, name), getattr(plain, name))
    assert torch.equal(known.warped.garment, plain.warped.garment)
