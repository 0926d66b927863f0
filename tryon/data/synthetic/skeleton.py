"""Joints and limb lines of a posed person, and the torso's own coordinate frame."""

from __future__ import annotations

import numpy as np

from .person import Person
from .raster import Array

FRAME_HEIGHT, FRAME_WIDTH = 256, 192
"""Pixels of the frame that body units are defined in."""

UPPER_ARM, FOREARM = 62.0, 55.0
THIGH, SHIN = 92.0, 88.0
SHOULDER_DROP = 19.0
HEAD_HEIGHT, HEAD_WIDTH = 25.0, 18.5
"""Half height and half width of the head."""
NECK_LENGTH = 34.0
"""From the neck root to the middle of the head."""

RIGHT, LEFT = 0, 1
OUTWARD = (-1.0, 1.0)
"""Sign of x on the person's right and left: the person faces the viewer."""


def ramp(x: Array | float, low: float, high: float) -> Array:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((np.asarray(x, dtype=np.float64) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _bend_outward(shoulder: Array, wrist: Array, upper: float, fore: float, outward: float) -> tuple[Array, Array]:
    """Elbow and reachable wrist of a two-bone arm whose elbow points away from the body."""
    offset = wrist - shoulder
    distance = np.clip(np.linalg.norm(offset), abs(upper - fore) + 1, 0.998 * (upper + fore))
    direction = offset / np.linalg.norm(offset)
    along = (upper**2 + distance**2 - fore**2) / (2 * distance)
    away = np.sqrt(max(upper**2 - along**2, 0.0))
    normal = np.array([direction[1], -direction[0]])
    if normal[0] * outward < 0:
        normal = -normal
    return shoulder + along * direction + away * normal, shoulder + distance * direction


class Skeleton:
    """Where the joints of a person are in a photo of given size.

    All positions are (x, y) in pixels, with integer pixel centres. Pairs hold the person's right side first.

    Args:
        person: who.
        height: rows of the photo.
        width: columns of the photo.
    """

    def __init__(self, person: Person, height: int, width: int) -> None:
        self.person = person
        frame = min(height / FRAME_HEIGHT, width / FRAME_WIDTH)
        self.unit = frame * person.scale
        """Pixels in one body unit."""
        self._root = np.array([(width - 1) / 2 + person.shift * frame, person.neck_height * frame])
        self.shoulders = [self.shoulder_rest(side) for side in (RIGHT, LEFT)]
        self.hips = [self.torso(OUTWARD[side] * 0.5 * person.hip, person.torso) for side in (RIGHT, LEFT)]
        self.elbows, self.wrists = [], []
        for side in (RIGHT, LEFT):
            pose = person.arms[side]
            raise_shoulder = self.unit * 7 * ramp(-pose.down, -40, 20)
            self.shoulders[side] = self.shoulders[side] - np.array([OUTWARD[side] * 0.4, 1.0]) * raise_shoulder
            elbow, wrist = _bend_outward(
                self.shoulders[side],
                self.torso(OUTWARD[side] * pose.out, pose.down),
                UPPER_ARM * pose.reach * self.unit,
                FOREARM * pose.reach * self.unit,
                OUTWARD[side],
            )
            self.elbows.append(elbow)
            self.wrists.append(wrist)
        spread = [np.array([OUTWARD[side] * person.stance[side] * self.unit, 0.0]) for side in (RIGHT, LEFT)]
        down = np.array([0.0, self.unit])
        self.knees = [self.hips[side] + 0.7 * spread[side] + THIGH * down for side in (RIGHT, LEFT)]
        self.ankles = [self.knees[side] + 0.3 * spread[side] + SHIN * down for side in (RIGHT, LEFT)]
        tilt = person.head_tilt
        self.head_axes = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
        """Rows: the head's right-hand and downward directions in the photo."""
        self._profile = self._torso_profile()
        self.neck = self.torso(0.0, 0.0)
        self.head = self.neck - NECK_LENGTH * self.unit * self.head_axes[1]

    def torso(self, across: Array | float, down: Array | float) -> Array:
        """Photo position of a place on the torso.

        The middle line is a quadratic curve from the neck root to the hips; lines across turn from the tilt of the
        shoulders to that of the hips. Places above the neck or below the hips continue the frame.

        Args:
            across: body units to the right in the picture from the middle.
            down: body units below the neck root along the middle.
        """
        person = self.person
        across, down = np.broadcast_arrays(np.asarray(across, dtype=np.float64), np.asarray(down, dtype=np.float64))
        q = down / person.torso
        middle = person.sway * q + 4 * person.bend * q * (1 - q) * (np.abs(q - 0.5) < 0.5)
        tilt = person.shoulder_tilt + (person.hip_tilt - person.shoulder_tilt) * ramp(q, 0.1, 1)
        offset = np.stack([middle + across * np.cos(tilt), down + across * np.sin(tilt)], axis=-1)
        return self._root + self.unit * offset

    def shoulder_rest(self, side: int) -> Array:
        """Photo position of a shoulder joint while its arm hangs."""
        return self.torso(OUTWARD[side] * 0.95 * self.person.shoulder, SHOULDER_DROP)

    def torso_half_width(self, down: Array | float) -> Array:
        """Half width of the bare torso below the shoulders, in body units."""
        return np.asarray(np.interp(down, *self._profile), dtype=np.float64)

    def _torso_profile(self) -> tuple[Array, Array]:
        person = self.person
        levels = [0, 34, 52, 0.66 * person.torso, 0.97 * person.torso, person.torso + 20, person.torso + 60]
        widths = [
            person.shoulder,
            person.chest,
            person.chest - 0.8,
            person.waist,
            person.hip - 0.5,
            person.hip + 1,
            person.hip,
        ]
        return _rounded(levels, widths)

    def arm(self, side: int, lengths: Array) -> Array:
        """Points on an arm's middle line, rounded at the elbow.

        Args:
            side: RIGHT or LEFT.
            lengths: body units from the shoulder joint; the line continues straight past both ends.
        """
        shoulder, elbow, wrist = self.shoulders[side], self.elbows[side], self.wrists[side]
        return self._bent_line(shoulder, elbow, wrist, lengths, rounding=11)

    def leg(self, side: int, lengths: Array) -> Array:
        """Points on a leg's middle line; as `arm`, from the hip joint."""
        return self._bent_line(self.hips[side], self.knees[side], self.ankles[side], lengths, rounding=14)

    def arm_lengths(self, side: int) -> tuple[float, float]:
        """Body units from the shoulder joint to the elbow and to the wrist."""
        upper = float(np.linalg.norm(self.elbows[side] - self.shoulders[side])) / self.unit
        return upper, upper + float(np.linalg.norm(self.wrists[side] - self.elbows[side])) / self.unit

    def _bent_line(self, start: Array, joint: Array, end: Array, lengths: Array, rounding: float) -> Array:
        first = (joint - start) / np.linalg.norm(joint - start)
        second = (end - joint) / np.linalg.norm(end - joint)
        bend_at = np.linalg.norm(joint - start) / self.unit
        # The corner is rounded by averaging the line over a window of its own length.
        window = np.linspace(-rounding, rounding, 9)
        at = (np.asarray(lengths, dtype=np.float64)[:, None] + window)[..., None] - bend_at
        points = joint + self.unit * np.where(at < 0, at * first, at * second)
        return np.asarray(points.mean(axis=1), dtype=np.float64)

    def keypoints(self) -> Array:
        """COCO's 18 body points as OpenPose orders them, 18 × 2."""
        face = [self.on_head(x, y) for x, y in ((0, 0.16), (-0.38, -0.1), (0.38, -0.1), (-0.98, 0.06), (0.98, 0.06))]
        nose, right_eye, left_eye, right_ear, left_ear = face
        arms = [[self.shoulders[side], self.elbows[side], self.wrists[side]] for side in (RIGHT, LEFT)]
        legs = [[self.hips[side], self.knees[side], self.ankles[side]] for side in (RIGHT, LEFT)]
        neck = self.torso(0.0, 3.0)
        return np.array([nose, neck, *arms[0], *arms[1], *legs[0], *legs[1], right_eye, left_eye, right_ear, left_ear])

    def on_head(self, x: Array | float, y: Array | float) -> Array:
        """Photo position of a place on the head, x in half widths and y in half heights from its middle."""
        local = np.stack(np.broadcast_arrays(np.asarray(x) * HEAD_WIDTH, np.asarray(y) * HEAD_HEIGHT), axis=-1)
        return self.head + self.unit * local @ self.head_axes


def _rounded(positions: list[float], values: list[float], samples: int = 64) -> tuple[Array, Array]:
    """A smooth curve through points, sampled finely: cubic Hermite with central-difference slopes."""
    x, y = np.asarray(positions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    slopes = np.gradient(y, x)
    at = np.linspace(x[0], x[-1], samples)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    step = x[i + 1] - x[i]
    t = (at - x[i]) / step
    rise = (1 - t) ** 2 * (1 + 2 * t) * y[i] + t**2 * (3 - 2 * t) * y[i + 1]
    return at, rise + step * (t * (1 - t) ** 2 * slopes[i] - t**2 * (1 - t) * slopes[i + 1])
