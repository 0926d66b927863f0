"""Body parts drawn from a pose, to take the place of DensePose's.

A body is capsules along its limbs, an ellipse for the head and a polygon for the trunk, as wide as the people of the
drawn data set: lengths below are in units of which a trunk from neck to hips has 98 and shoulders are 57 apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tryon.data.images import Size

Points = NDArray[np.float64]
Parts = NDArray[np.uint8]
Halves = tuple[int, int]

# Keypoints in OpenPose's order; of pairs the person's right comes first.
NOSE, NECK = 0, 1
SHOULDERS, ELBOWS, WRISTS = (2, 5), (3, 6), (4, 7)
HIPS, KNEES, ANKLES = (8, 11), (9, 12), (10, 13)
FACE = (0, 14, 15, 16, 17)

# DensePose's part indices of a body seen from the front: its right first, and of arms and head the two halves, first
# the one on the left of a line that runs down the picture.
_TRUNK = 2
_HANDS, _FEET = (3, 4), (6, 5)
_UPPER_LEGS, _LOWER_LEGS = (9, 10), (13, 14)
_UPPER_ARMS, _LOWER_ARMS = ((18, 16), (15, 17)), ((22, 20), (19, 21))
_HEAD = (23, 24)

_TRUNK_LENGTH, _SHOULDER_WIDTH = 98.0, 57.0
_THIGH, _FOOT, _HAND = 92.0, 14.0, 15.0
_NECK_RADIUS, _HEAD_HALF_WIDTH, _HEAD_HALF_HEIGHT = 10.0, 16.5, 23.0
_NOSE_BELOW_MIDDLE = 4.0
_ARM_RADII, _LEG_RADII = (9.5, 7.5, 5.0), (15.0, 10.5, 6.0)
_HAND_RADIUS, _FOOT_RADIUS = 6.0, 7.0
_OUTLINE = ((8, -6), (28, 8), (30, 22), (29, 50), (26, 66), (31, 98), (31, 107))
"""The trunk's right half outline: across from its middle, and down from the neck."""


def draw_body_parts(keypoints: Points, size: Size) -> Parts:
    """Draw the parts of a person who is seen from the front.

    A limb whose joints are absent is left out, but for thighs, which then go straight down from the hips. Hips that
    are absent are straight below the neck.

    Args:
        keypoints: 18 x 3, x and y in pixels and presence (above 0), in OpenPose's order.
        size: height and width of the picture.

    Returns:
        H x W part indices, 0 (background) to 24, as DensePose numbers them. All 0 without neck or shoulders.
    """
    canvas = _Canvas(size)
    points, unit = _present(keypoints), body_unit(keypoints)
    neck, hips_middle = _neck(points), _middle([points[i] for i in HIPS])
    if neck is None or unit is None:
        return canvas.parts
    down = np.array([0.0, 1.0]) if hips_middle is None else (hips_middle - neck) / np.linalg.norm(hips_middle - neck)
    left = np.array([down[1], -down[0]])  # the person's, on the picture's right
    trunk = neck + _TRUNK_LENGTH * unit * down
    for side, outward in enumerate((-1, 1)):
        hip = points[HIPS[side]]
        hip = trunk + outward * 16 * unit * left if hip is None else hip
        _draw_leg(canvas, hip, points[KNEES[side]], points[ANKLES[side]], side, unit, down)
    right_side = [neck + unit * (along * down - across * left) for across, along in _OUTLINE]
    left_side = [neck + unit * (along * down + across * left) for across, along in _OUTLINE]
    canvas.polygon([*right_side, *reversed(left_side)], _TRUNK)
    _draw_head(canvas, points, neck, unit)
    for side in (0, 1):
        arm = [points[joints[side]] for joints in (SHOULDERS, ELBOWS, WRISTS)]
        _draw_arm(canvas, arm, side, unit)
    return canvas.parts


class _Canvas:
    def __init__(self, size: Size) -> None:
        self.parts = np.zeros(size, np.uint8)
        self._y, self._x = np.mgrid[: size[0], : size[1]].astype(np.float64)

    def capsule(self, start: Points, end: Points, radii: tuple[float, float], halves: Halves) -> None:
        """All that is within a radius, which goes from one to another, of a line; its left half and its right."""
        line = end - start
        x, y = self._x - start[0], self._y - start[1]
        along = ((x * line[0] + y * line[1]) / max(float(line @ line), 1e-9)).clip(0, 1)
        distance = np.hypot(x - along * line[0], y - along * line[1])
        inside = distance <= radii[0] + along * (radii[1] - radii[0])
        self._fill(inside, x * line[1] - y * line[0], halves)

    def ellipse(self, centre: Points, down: Points, half_width: float, half_height: float, halves: Halves) -> None:
        x, y = self._x - centre[0], self._y - centre[1]
        across, along = x * down[1] - y * down[0], x * down[0] + y * down[1]
        self._fill((across / half_width) ** 2 + (along / half_height) ** 2 <= 1, across, halves)

    def polygon(self, corners: list[Points], part: int) -> None:
        image = Image.fromarray(self.parts)
        ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=part)
        self.parts = np.array(image)

    def _fill(self, inside: NDArray[np.bool_], across: Points, halves: Halves) -> None:
        self.parts[inside] = np.where(across < 0, *halves)[inside]


def body_unit(keypoints: Points) -> float | None:
    """Pixels in a unit: by the trunk, or by the shoulders where there are no hips; None where there are neither.

    Args:
        keypoints: 18 x 3, as of `draw_body_parts`.
    """
    points = _present(keypoints)
    neck, hips = _neck(points), _middle([points[i] for i in HIPS])
    right, left = (points[i] for i in SHOULDERS)
    if neck is not None and hips is not None:
        unit = float(np.linalg.norm(hips - neck)) / _TRUNK_LENGTH
    elif right is not None and left is not None:
        unit = float(np.linalg.norm(left - right)) / _SHOULDER_WIDTH
    else:
        return None
    return unit if unit > 0 else None


def _present(keypoints: Points) -> list[Points | None]:
    return [point[:2] if point[2] > 0 else None for point in np.asarray(keypoints, dtype=np.float64)]


def _neck(points: list[Points | None]) -> Points | None:
    return points[NECK] if points[NECK] is not None else _middle([points[i] for i in SHOULDERS])


def _middle(points: list[Points | None]) -> Points | None:
    there = [point for point in points if point is not None]
    return np.mean(there, axis=0) if len(there) == len(points) else None


def _draw_leg(
    canvas: _Canvas, hip: Points, knee: Points | None, ankle: Points | None, side: int, unit: float, down: Points
) -> None:
    top, middle, low = (radius * unit for radius in _LEG_RADII)
    end = hip + _THIGH * unit * down if knee is None else knee
    canvas.capsule(hip, end, (top, middle), (_UPPER_LEGS[side],) * 2)
    if knee is not None and ankle is not None:
        canvas.capsule(knee, ankle, (middle, low), (_LOWER_LEGS[side],) * 2)
        foot = ankle + _FOOT * unit * np.array([0.0, 1.0])
        canvas.capsule(ankle, foot, (low, _FOOT_RADIUS * unit), (_FEET[side],) * 2)


def _draw_head(canvas: _Canvas, points: list[Points | None], neck: Points, unit: float) -> None:
    """Neck and head, around the middle of the ears, or above the nose."""
    face = [point for i in FACE if (point := points[i]) is not None]
    if not face:
        return
    middle = np.mean(face, axis=0)
    down = (neck - middle) / max(float(np.linalg.norm(neck - middle)), 1e-9)
    centre = middle - _NOSE_BELOW_MIDDLE * unit * down
    canvas.capsule(centre, neck, (_NECK_RADIUS * unit,) * 2, _HEAD)
    canvas.ellipse(centre, down, _HEAD_HALF_WIDTH * unit, _HEAD_HALF_HEIGHT * unit, _HEAD)


def _draw_arm(canvas: _Canvas, arm: list[Points | None], side: int, unit: float) -> None:
    shoulder, elbow, wrist = arm
    top, middle, low = (radius * unit for radius in _ARM_RADII)
    if shoulder is None or elbow is None:
        return
    canvas.capsule(shoulder, elbow, (top, middle), _UPPER_ARMS[side])
    if wrist is None:
        return
    canvas.capsule(elbow, wrist, (middle, low), _LOWER_ARMS[side])
    forward = (wrist - elbow) / max(float(np.linalg.norm(wrist - elbow)), 1e-9)
    start, end = wrist + 3 * unit * forward, wrist + _HAND * unit * forward
    canvas.capsule(start, end, (_HAND_RADIUS * unit,) * 2, (_HANDS[side],) * 2)
