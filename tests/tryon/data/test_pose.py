from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tryon.data.pose import read_keypoints
from tryon.errors import InputError

SIZE = (256, 192)
ABSENT = [0.0, 0.0, 0.0]


def written(path: Path, *people: list[list[float]], key: str = "pose_keypoints_2d") -> Path:
    content = {"people": [{key: [number for point in person for number in point]} for person in people]}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def pose_file(tmp_path: Path) -> Path:
    return tmp_path / "pose.json"


@pytest.mark.parametrize("key", ["pose_keypoints", "pose_keypoints_2d"])
def test_keypoints_at_or_left_of_one_pixel_are_absent(pose_file: Path, key: str) -> None:
    points = [[5.0, 6.0, 0.9]] * 18
    points[1] = [1.0, 50.0, 0.9]
    keypoints = read_keypoints(written(pose_file, points, key=key), SIZE)
    assert keypoints[:3, 2].tolist() == [1.0, 0.0, 1.0]
    assert keypoints[0, :2].tolist() == [5.0, 6.0]


def test_shares_of_the_picture_become_pixels(pose_file: Path) -> None:
    points = [[0.25, 0.5, 0.9]] * 17 + [ABSENT]
    keypoints = read_keypoints(written(pose_file, points), SIZE)
    assert keypoints[0].tolist() == [48.0, 128.0, 1.0]
    assert keypoints[17].tolist() == ABSENT


def test_coordinates_around_the_pictures_middle_are_refused(pose_file: Path) -> None:
    with pytest.raises(InputError, match=r"pose\.json: found coordinates of -0\.5 to 0\.25, wanted pixels, or shares"):
        read_keypoints(written(pose_file, [[0.25, -0.5, 0.9]] * 18), SIZE)


def test_of_several_people_the_one_with_the_most_certain_keypoints_is_taken(pose_file: Path) -> None:
    faint, sure = [[5.0, 6.0, 0.2]] * 18, [[50.0, 60.0, 0.9]] * 10 + [ABSENT] * 8
    for people in ((faint, sure), (sure, faint), ([ABSENT] * 18, sure), ([], sure)):
        assert read_keypoints(written(pose_file, *people), SIZE)[0].tolist() == [50.0, 60.0, 1.0]


def test_without_confidences_it_is_the_one_with_the_most_keypoints(pose_file: Path) -> None:
    few, many = ([[x, 60.0, 0.0]] * count + [ABSENT] * (18 - count) for x, count in ((5.0, 3), (50.0, 9)))
    assert read_keypoints(written(pose_file, few, many), SIZE)[0].tolist() == [50.0, 60.0, 1.0]


@pytest.mark.parametrize("people", [(), ([],), ([ABSENT] * 18,)])
def test_a_file_without_a_person_has_no_keypoints(pose_file: Path, people: tuple[list[list[float]], ...]) -> None:
    keypoints = read_keypoints(written(pose_file, *people), SIZE)
    assert torch.equal(keypoints, torch.zeros(18, 3))


def test_of_body_25_cocos_keypoints_are_taken(pose_file: Path) -> None:
    body = [[10.0 + i, 50.0, 0.9] for i in range(25)]
    keypoints = read_keypoints(written(pose_file, body), SIZE)
    # OpenPose's lists: hips are 9 and 12 of BODY_25 and 8 and 11 of COCO, ears its last two and 17 and 18 of BODY_25.
    assert keypoints.shape == (18, 3)
    assert keypoints[[0, 7, 8, 11, 16, 17], 0].tolist() == [10.0, 17.0, 19.0, 22.0, 27.0, 28.0]


def test_a_file_may_hold_one_persons_keypoints_in_rows(pose_file: Path) -> None:
    rows = [[10.0 + i, 50.0, 0.9, float(i)] for i in range(18)]
    rows[3] = [-1.0, -1.0, 0.0, -1.0]
    pose_file.write_text(json.dumps({"keypoints": rows}))
    keypoints = read_keypoints(pose_file, SIZE)
    assert keypoints[0].tolist() == [10.0, 50.0, 1.0]
    assert keypoints[:, 2].tolist() == [1.0] * 3 + [0.0] + [1.0] * 14
    pose_file.write_text(json.dumps({"keypoints": [value for row in rows for value in row]}))
    assert torch.equal(read_keypoints(pose_file, SIZE), keypoints)


def test_another_layout_and_a_damaged_file_are_named(pose_file: Path) -> None:
    with pytest.raises(InputError, match=r"pose\.json: found 17 keypoints, wanted 18 \(COCO\) or 25 \(BODY_25\)"):
        read_keypoints(written(pose_file, [[1.0, 1.0, 1.0]] * 17), SIZE)
    for content in (
        "{",
        "[]",
        '{"people": [1]}',
        '{"people": [{"pose_keypoints_2d": [1, 2]}]}',
        '{"people": [{}]}',
        '{"keypoints": [[1, 2]]}',
        '{"keypoints": 3}',
    ):
        pose_file.write_text(content)
        with pytest.raises(InputError, match=r"pose\.json: cannot be read as OpenPose keypoints"):
            read_keypoints(pose_file, SIZE)
