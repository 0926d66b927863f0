"""OpenPose files, in each of the forms that data sets keep them in."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tryon.data.condition import POSE_KEYPOINTS
from tryon.data.images import Size
from tryon.errors import InputError

BODY_25_KEYPOINTS = 25
_BODY_25 = (*range(8), *range(9, 19))
"""COCO's 18 keypoints among those of BODY_25, which has the middle of the hips in between and feet at its end."""

_FIRST_PRESENT = 1  # keypoints at or below this coordinate, in pixels, are absent (published rule)


def read_keypoints(path: Path, size: Size) -> Tensor:
    """Read an OpenPose file's keypoints of the person of whom it is surest: of the highest sum of confidences.

    A file is ``{"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}, ...]}``, with older names, or
    ``{"keypoints": [[x, y, confidence, index], ...]}`` of one person; both may be flat or nested. Keypoints are COCO's
    18, or BODY_25's, of which those 18 are taken. Coordinates are pixels, or shares of the picture where none of the
    person's is above 1.

    Args:
        path: JSON file.
        size: (height, width) of the picture.

    Returns:
        18 x 3 float32 (x and y in pixels, 1 if present else 0). A file without a person gives 18 absent keypoints.

    Raises:
        InputError: the file cannot be read, or has other keypoints; names it.
    """
    people = read_people(path)
    if not people:
        return torch.zeros(POSE_KEYPOINTS, 3)
    keypoints = max(people, key=_certainty)
    places = keypoints[:, :2]
    if places.abs().max() > 1:
        present = places > _FIRST_PRESENT
    elif places.min() < 0:
        raise InputError(
            f"{path}: found coordinates of {places.min():g} to {places.max():g}, wanted pixels, or shares of 0 to 1"
        )
    else:
        present = places > 0
        places *= torch.tensor(size[::-1])
    keypoints[:, 2] = present.all(dim=1).float()
    return keypoints


def read_people(path: Path) -> list[Tensor]:
    """Read all people of an OpenPose file: 18 x 3 each, x, y and confidence as they are there.

    Raises:
        InputError: the file cannot be read, or has other keypoints; names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        alone = "keypoints" in content
        people = [_rows(content["keypoints"], 4)] if alone else [_keypoints(person) for person in content["people"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as OpenPose keypoints ({error!r})") from None
    return [_coco(person, path) for person in people if len(person)]


def _coco(person: Tensor, path: Path) -> Tensor:
    if len(person) == BODY_25_KEYPOINTS:
        return person[list(_BODY_25)]
    if len(person) != POSE_KEYPOINTS:
        wanted = f"{POSE_KEYPOINTS} (COCO) or {BODY_25_KEYPOINTS} (BODY_25)"
        raise InputError(f"{path}: found {len(person)} keypoints, wanted {wanted}")
    return person


def _keypoints(person: dict[str, list[float] | list[list[float]]]) -> Tensor:
    return _rows(person.get("pose_keypoints") or person["pose_keypoints_2d"], 3)


def _rows(values: list[float] | list[list[float]], columns: int) -> Tensor:
    """x, y and confidence of keypoints, nested or flat; flat they are of as many numbers each."""
    rows = torch.tensor(values, dtype=torch.float32).nan_to_num()
    if rows.ndim == 1:
        rows = rows.reshape(-1, columns)
    if rows.ndim != 2 or rows.shape[1] < 3:
        raise ValueError(f"keypoints of shape {tuple(rows.shape)}")
    return rows[:, :3]


def _certainty(person: Tensor) -> tuple[float, int]:
    """Sum of the confidences; where a file has none, how many keypoints there are decides."""
    return float(person[:, 2].sum()), int((person[:, :2] > 0).all(dim=1).sum())
