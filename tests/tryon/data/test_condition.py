from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tryon.data.condition import (
    condition_channels,
    extended,
    far_background,
    pose_maps,
    preserved_region,
    tutor_condition,
    tutor_generator_channels,
    tutor_generator_input,
)
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Person, stack


@pytest.fixture
def people(drawn_data: Path) -> Person:
    folder = TryOnFolder(drawn_data, "train")
    return stack([folder.read_person(name) for name in folder.people[:2]])


def test_a_keypoint_is_a_filled_square_in_its_own_channel() -> None:
    keypoints = torch.zeros(1, 18, 3)
    keypoints[0, 4] = torch.tensor([20.0, 30.0, 1.0])
    maps = pose_maps(keypoints, height=256, width=192)
    assert maps.shape == (1, 18, 256, 192)
    assert set(maps.unique().tolist()) == {-1.0, 1.0}
    drawn = (maps[0, 4] == 1).nonzero()
    assert drawn.min(dim=0).values.tolist() == [25, 15]  # radius 5 around row 30, column 20
    assert drawn.max(dim=0).values.tolist() == [35, 25]
    assert len(drawn) == 11 * 11
    assert (maps[0, [0, 3, 5, 17]] == -1).all()


@pytest.mark.parametrize("densepose", [True, False])
def test_the_channels_follow_what_the_data_has(people: Person, densepose: bool) -> None:
    person = people if densepose else replace(people, densepose=None)
    condition = tutor_condition(person)
    assert condition.shape == (2, condition_channels(densepose=densepose), 64, 64)
    assert condition.shape[1] == (45 if densepose else 20)
    garment, mask = torch.zeros(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    inputs = tutor_generator_input(person, garment, mask)
    assert inputs.shape == (2, tutor_generator_channels(densepose=densepose), 64, 64)


def test_the_densepose_channels_are_one_hot(people: Person) -> None:
    parts = tutor_condition(people)[:, 2:27]
    assert (parts.sum(dim=1) == 1).all()
    assert (parts.argmax(dim=1) == people.densepose).all()


def test_what_is_preserved_is_face_clothes_and_hands_of_the_photo(people: Person) -> None:
    kept = preserved_region(people)
    assert people.regions is not None
    assert people.densepose is not None
    hands = people.regions.arms * torch.isin(people.densepose, torch.tensor([3, 4])).unsqueeze(1)
    mask = people.regions.face + people.regions.other_clothes + hands
    assert hands.sum() > 0
    torch.testing.assert_close(kept, people.photo * mask)
    assert (kept * people.regions.garment == 0).all()


def test_with_the_background_what_is_not_preserved_is_filled_with_its_colours(people: Person) -> None:
    assert people.regions is not None
    kept, without = (preserved_region(people, keep_background=flag) for flag in (True, False))
    background = far_background(people)
    preserved = (without != 0).any(dim=1, keepdim=True) | (background > 0)
    torch.testing.assert_close(kept * preserved, people.photo * preserved)
    torch.testing.assert_close(kept, torch.where(preserved, people.photo, extended(people.photo, background)))


def test_extending_an_image_keeps_what_is_known_and_goes_smoothly_on_from_it() -> None:
    rows = torch.linspace(-1, 1, 50)[:, None].expand(1, 3, 50, 37)
    known = torch.ones(1, 1, 50, 37)
    known[:, :, 10:30, 8:30] = 0
    filled = extended(rows * known + 77 * (1 - known), known)
    assert torch.equal(filled * known, rows * known)
    # Between the colours at the hole's edges, and at most half the hole's height from the right one.
    assert rows[0, 0, 8, 0] <= filled.min(dim=3).values[0, 0, 10:30].min()
    assert (filled - rows).abs().max() < 10 * 2 / 49


def test_nothing_known_extends_to_mid_grey() -> None:
    assert not extended(torch.ones(2, 3, 7, 5), torch.zeros(2, 1, 7, 5)).any()


def test_the_background_that_is_kept_is_far_from_garment_and_arms(people: Person) -> None:
    assert people.regions is not None
    assert people.densepose is not None
    background = far_background(people)
    body = (people.densepose > 0).unsqueeze(1)
    arms = torch.isin(people.densepose, torch.arange(15, 23)).unsqueeze(1)
    changing = (people.regions.garment > 0) | (people.regions.arms > 0) | arms
    for number, row, column in (background[:, 0] == 1).nonzero().tolist():
        assert not body[number, 0, row, column]
        nearby = changing[number, 0, max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
        assert not nearby.any()  # 12 pixels at a height of 256
    beyond = (people.regions.background > 0) & ~body
    assert background.sum() > 0.5 * beyond.sum()


def test_without_densepose_the_background_is_the_parsings(people: Person) -> None:
    assert people.regions is not None
    none = torch.zeros_like(people.regions.background)
    nothing_worn = replace(people.regions, garment=none, arms=none)
    assert torch.equal(far_background(replace(people, regions=nothing_worn, densepose=None)), people.regions.background)


def test_the_arm_channel_is_the_arms_that_the_warped_garment_leaves_free(people: Person) -> None:
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, :, :32] = 1
    arms = tutor_generator_input(people, torch.zeros(2, 3, 64, 64), mask)[:, 7]
    assert people.densepose is not None
    wanted = (people.densepose >= 15) & (people.densepose <= 22)
    wanted[:, :, :32] = False
    assert (arms.bool() == wanted).all()


def test_while_training_on_a_real_pair_it_is_the_arms_outside_the_photos_garment(people: Person) -> None:
    assert people.regions is not None
    assert people.densepose is not None
    mask, region = torch.ones(2, 1, 64, 64), people.regions.garment
    arms = tutor_generator_input(people, torch.zeros(2, 3, 64, 64), mask, region)[:, 7]
    wanted = (people.densepose >= 15) & (people.densepose <= 22) & (region[:, 0] == 0)
    assert wanted.any()
    assert (arms.bool() == wanted).all()


def test_a_person_without_parsing_has_no_condition(people: Person) -> None:
    with pytest.raises(ValueError, match="parsing"):
        tutor_condition(replace(people, regions=None))
