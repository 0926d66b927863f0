from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tryon.data.folder import TryOnFolder
from tryon.prepare.body_parts import body_unit, draw_body_parts

SIZE = (256, 192)
# Nose, neck, right arm, left arm, right leg, left leg, eyes, ears: 192 x 256 pixels, the left arm held out.
PLACES = (
    *((96, 40), (96, 72), (66, 80), (58, 130), (56, 176), (126, 80), (150, 60), (180, 50)),
    *((80, 170), (78, 220), (77, 250), (112, 170), (114, 220), (115, 250), (91, 36), (101, 36), (84, 40), (108, 40)),
)


def pose(*absent: int) -> np.ndarray:
    keypoints = np.array([(x, y, 1) for x, y in PLACES], dtype=np.float64)
    keypoints[list(absent)] = 0
    return keypoints


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ((62, 105), (16, 18)),
        ((57, 150), (20, 22)),
        ((138, 70), (15, 17)),
        ((165, 55), (19, 21)),
        ((56, 185), (3,)),
        ((189, 47), (4,)),
        ((79, 200), (9,)),
        ((113, 200), (10,)),
        ((78, 235), (13,)),
        ((115, 235), (14,)),
        ((96, 120), (2,)),
        ((90, 40), (23,)),
        ((102, 40), (24,)),
    ],
)
def test_each_part_has_densepose_s_index_where_the_pose_has_it(place: tuple[int, int], part: tuple[int, ...]) -> None:
    assert draw_body_parts(pose(), SIZE)[place[::-1]] in part


def test_the_outer_half_of_an_arm_is_another_part_than_the_inner_one() -> None:
    parts = draw_body_parts(pose(), SIZE)
    assert parts[105, 56] == 18
    assert parts[105, 68] == 16


def test_a_limb_whose_joints_are_absent_is_left_out_but_thighs_go_down() -> None:
    parts = draw_body_parts(pose(3, 4, 9, 10), SIZE)
    assert not np.isin(parts, (16, 18, 20, 22, 3, 13)).any()
    assert parts[215, 80] == 9
    assert (parts == 14).any()


def test_hips_that_are_absent_are_below_the_neck() -> None:
    parts = draw_body_parts(pose(8, 9, 10, 11, 12, 13), SIZE)
    assert parts[150, 96] == 2
    assert (parts == 9).any()


@pytest.mark.parametrize("absent", [(1, 2), (2, 8)])
def test_a_pose_that_tells_no_size_gives_no_body(absent: tuple[int, ...]) -> None:
    assert body_unit(pose(*absent)) is None
    assert not draw_body_parts(pose(*absent), SIZE).any()


def test_twice_the_pose_is_twice_the_body() -> None:
    small = draw_body_parts(pose(), SIZE)
    large = draw_body_parts(pose() * (2, 2, 1), (512, 384))
    assert (large[::2, ::2] == small).mean() > 0.99  # half a pixel at the outlines


def test_drawn_people_get_most_of_their_true_parts(drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "train")
    right = []
    for name in folder.people:
        person = folder.read_person(name)
        assert person.densepose is not None
        assert person.keypoints is not None
        truth = person.densepose.numpy()
        drawn = draw_body_parts(person.keypoints.numpy(), folder.size)
        right.append((drawn == truth)[truth > 0].mean())
    assert np.mean(right) > 0.8  # of 32 people 0.91
