from __future__ import annotations

import numpy as np
import pytest

from tests.tryon.prepare.test_body_parts import pose
from tryon.errors import InputError
from tryon.prepare.framing import frame_of_body

SIZE = (256, 192)


def moved(scale: float, right: float, down: float) -> np.ndarray:
    keypoints = pose()
    keypoints[:, :2] = keypoints[:, :2] * scale + (right, down)
    return keypoints


def test_a_frame_has_the_set_s_proportions_and_the_same_of_a_person_however_large_and_wherever() -> None:
    left, top, right, bottom = frame_of_body(moved(1, 300, 200), (1000, 800), SIZE)
    assert (bottom - top) / (right - left) == pytest.approx(256 / 192, rel=0.01)
    larger = frame_of_body(moved(3, 900, 600), (3000, 2400), SIZE)
    np.testing.assert_allclose(larger, np.multiply(3, (left, top, right, bottom)), atol=2)


def test_head_and_hips_are_within_the_frame_and_the_trunk_is_in_its_middle() -> None:
    left, top, right, bottom = frame_of_body(moved(1, 300, 200), (1000, 800), SIZE)
    assert top < 200 + 20
    assert bottom > 200 + 170
    assert abs((left + right) / 2 - (300 + 96)) < 2


def test_a_frame_stays_within_the_photo() -> None:
    left, top, right, bottom = frame_of_body(pose(), (256, 192), SIZE)
    assert left >= 0
    assert top >= 0
    assert right <= 192
    assert bottom <= 256
    assert (bottom - top) > 0.75 * 256


def test_a_person_who_is_cut_off_is_refused_with_how_much_is_missing() -> None:
    with pytest.raises(InputError, match=r"found a person cut off \(\d\d% of the way from head to hips is missing"):
        frame_of_body(pose(), (110, 192), SIZE)


@pytest.mark.parametrize(("absent", "found"), [(range(18), "nothing"), ((2,), "nose, neck, left shoulder")])
def test_a_pose_without_neck_and_shoulders_is_no_person(absent: tuple[int, ...], found: str) -> None:
    with pytest.raises(InputError, match=rf"found no person \(of the pose {found}\), wanted nose, neck and shoulders"):
        frame_of_body(pose(*absent), SIZE, SIZE)
