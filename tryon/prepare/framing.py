"""The frame around a person that try-on sets have: from above the head to below the hips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tryon.data.images import Size
from tryon.data.images.frames import Frame
from tryon.errors import InputError
from tryon.prepare.body_parts import HIPS, NECK, NOSE, SHOULDERS, body_unit

_HEIGHT = 208.0  # of the frame, in the body's units: as in VITON's photos
_NECK_HEIGHT = 0.33  # of the frame, below its top
_HIPS_BELOW_NECK = 98.0
_HEAD_ABOVE_NECK = 55.0
_MISSING = 0.1  # share of the way from head to hips that may be cut off


def frame_of_body(keypoints: NDArray[np.float64], photo: Size, size: Size) -> Frame:
    """The frame of a size's proportions around a person, within the photo.

    Args:
        keypoints: 18 x 3 in the photo's pixels, x, y and presence, in OpenPose's order.
        photo: its height and width.
        size: of the data set.

    Raises:
        InputError: the photo does not show a person from head to hips; the message says what was found.
    """
    unit = body_unit(keypoints)
    if unit is None or not (keypoints[[NECK, NOSE, *SHOULDERS], 2] > 0).all():
        found = [name for name, place in _WANTED.items() if keypoints[place, 2] > 0]
        raise InputError(
            f"found no person (of the pose {', '.join(found) or 'nothing'}), wanted nose, neck and shoulders"
        )
    neck, hips = keypoints[NECK, :2], keypoints[list(HIPS)]
    height = min(_HEIGHT * unit, photo[0], photo[1] * size[0] / size[1])
    width = height * size[1] / size[0]
    middle = np.mean([neck[0], *hips[:, 0]]) if (hips[:, 2] > 0).all() else neck[0]
    left = float(np.clip(middle - width / 2, 0, photo[1] - width))
    top = float(np.clip(neck[1] - _NECK_HEIGHT * height, 0, photo[0] - height))
    head, hip = neck[1] - _HEAD_ABOVE_NECK * unit, neck[1] + _HIPS_BELOW_NECK * unit
    missing = max(top - head, hip - top - height) / (hip - head)
    if missing > _MISSING:
        raise InputError(
            f"found a person cut off ({missing:.0%} of the way from head to hips is missing,"
            f" wanted at most {_MISSING:.0%})"
        )
    return round(left), round(top), round(left) + max(1, round(width)), round(top) + max(1, round(height))


_WANTED = {"nose": NOSE, "neck": NECK, "right shoulder": SHOULDERS[0], "left shoulder": SHOULDERS[1]}
