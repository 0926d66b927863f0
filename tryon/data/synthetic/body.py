"""Sheets of the bare body, hair, shoes and what is worn below the waist."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .parts import Finish, Label, Part, ribbon, surface_coordinates
from .raster import Array
from .skeleton import HEAD_WIDTH, LEFT, OUTWARD, RIGHT, Skeleton, ramp

ARM_LABELS = (Label.RIGHT_ARM, Label.LEFT_ARM)
LEG_LABELS = (Label.RIGHT_LEG, Label.LEFT_LEG)
SHOE_LABELS = (Label.RIGHT_SHOE, Label.LEFT_SHOE)

# DensePose's part indices, the person's right side first. A limb seen from the front shows the inner
# and the outer half of an arm, and the front half of a leg.
TORSO_PART = 2
HAND_PARTS = (3, 4)
FOOT_PARTS = (6, 5)
UPPER_LEG_PARTS = (9, 10)
LOWER_LEG_PARTS = (13, 14)
UPPER_ARM_PARTS = ((18, 16), (15, 17))
LOWER_ARM_PARTS = ((22, 20), (19, 21))
HEAD_PARTS = (23, 24)

HIGH_WAIST, LOW_WAIST = 0.78, 0.86
"""Heights of waistbands that garments are tucked into and hang over, as parts of the torso's length."""


@dataclass
class Body:
    """Sheets of a person, in groups that are drawn with the garment between them."""

    behind: list[Part] = field(default_factory=list)
    """Hair that falls behind, and the tops of arms held behind the back."""
    trunk: list[Part] = field(default_factory=list)
    """Legs, torso, neck and the tops of the other arms."""
    bottoms: list[Part] = field(default_factory=list)
    head: list[Part] = field(default_factory=list)
    arms: list[list[Part]] = field(default_factory=list)
    """Each arm from below the armpit to the hand, the person's right one first."""


def arm_radius(skeleton: Skeleton, side: int, lengths: Array) -> Array:
    """Half width of a bare arm at body units from the shoulder joint."""
    elbow, wrist = skeleton.arm_lengths(side)
    levels = np.array([-9, -7, -3, 2, 12, 0.5 * elbow, elbow, elbow + 0.3 * (wrist - elbow), wrist])
    return skeleton.person.limb * np.interp(lengths, levels, [1.5, 5.0, 8.2, 9.6, 9.4, 8.4, 7.0, 7.1, 4.5])


def _arm(skeleton: Skeleton, side: int) -> tuple[list[Part], list[Part]]:
    """An arm's top, which goes under the garment's shoulder, and the rest of it."""
    elbow, wrist = skeleton.arm_lengths(side)
    lengths = np.interp(np.linspace(0, 1, 30), [0, 11 / 29, 19 / 29, 1], [-9, 24, elbow, wrist])
    arm = ribbon(skeleton.arm(side, lengths), arm_radius(skeleton, side, lengths) * skeleton.unit)
    armpit, joint = 11, 19
    behind = skeleton.person.arms[side].behind
    top = _skin(skeleton, arm[: armpit + 1], ARM_LABELS[side], 0.15 if behind else 0.42, UPPER_ARM_PARTS[side])
    near = 0.15 if behind else 0.75
    upper = _skin(skeleton, arm[armpit : joint + 1], ARM_LABELS[side], near, UPPER_ARM_PARTS[side])
    lower = _skin(skeleton, arm[joint:], ARM_LABELS[side], near + 0.03, LOWER_ARM_PARTS[side])
    return [top], [upper, lower, *_hand(skeleton, side, near + 0.06)]


def _hand(skeleton: Skeleton, side: int, depth: float) -> list[Part]:
    """Thumb and palm; they are one hand in DensePose."""
    _, wrist = skeleton.arm_lengths(side)
    scale = skeleton.person.limb
    parts = (HAND_PARTS[side], HAND_PARTS[side])
    lengths = np.array([-2, 1, 4, 7, 10, 13, 16, 19, 21.5, 23])
    half_widths = scale * np.array([4.4, 4.7, 5.6, 6.3, 6.3, 5.9, 5.5, 4.9, 3.6, 1.4])
    centres = skeleton.arm(side, wrist + lengths)
    palm = ribbon(centres, half_widths * skeleton.unit)
    forward = centres[-1] - centres[0]
    forward /= np.linalg.norm(forward)
    inward = np.array([forward[1], -forward[0]]) * -OUTWARD[side]
    reach = np.linspace(0, 1, 6)[:, None]
    thumb_line = centres[2] + skeleton.unit * scale * (reach * 10 * forward + (2 + np.sqrt(reach) * 5.5) * inward)
    thumb = ribbon(thumb_line, scale * np.array([2.6, 2.6, 2.4, 2.2, 1.8, 0.8]) * skeleton.unit, columns=3)
    return [
        _skin(skeleton, thumb, ARM_LABELS[side], depth, parts),
        _skin(skeleton, palm, ARM_LABELS[side], depth, parts, Finish.HAND),
    ]


def _skin(
    skeleton: Skeleton,
    vertices: Array,
    label: Label,
    depth: float,
    densepose: tuple[int, int],
    finish: Finish = Finish.SKIN,
) -> Part:
    coordinates = surface_coordinates(*vertices.shape[:2])
    return Part(vertices, coordinates, label, depth, finish, skeleton.person.skin, densepose)


def _torso(skeleton: Skeleton) -> list[Part]:
    person = skeleton.person
    shoulder_rows = [-2, 1, 4, 7, 8.6, 11, 14, 18, 26]
    shoulder_widths = [9, 13, 19, 25.5, 29, 32, 32.5, 32, 30.5]
    down = np.concatenate([shoulder_rows, np.linspace(34, person.torso + 14, 16)])
    slope = np.interp(down, [*shoulder_rows, 34], [*shoulder_widths, 29]) * person.shoulder / 30
    half_widths = np.where(down < 34, slope, skeleton.torso_half_width(down))
    across = np.linspace(-1, 1, 9)
    trunk = skeleton.torso(half_widths[:, None] * across, down[:, None])
    neck_rows = np.linspace(0, 1, 8)[:, None]
    top = skeleton.head + skeleton.unit * 12 * skeleton.head_axes[1]
    neck_line = top + neck_rows * (skeleton.torso(0.0, 9.0) - top)
    neck_widths = np.array([9.4, 9.2, 9.1, 9.1, 9.4, 10.4, 12.0, 13.0]) * (0.6 + 0.4 * person.limb)
    neck = ribbon(neck_line, neck_widths * skeleton.unit)
    return [
        _skin(skeleton, trunk, Label.BACKGROUND, 0.4, (TORSO_PART, TORSO_PART)),
        _skin(skeleton, neck, Label.BACKGROUND, 0.42, HEAD_PARTS),
    ]


def leg_radius(skeleton: Skeleton, lengths: Array) -> Array:
    """Half width of a bare leg at body units from the hip joint."""
    levels = [-12, 0, 40, 90, 108, 128, 172, 184]
    return skeleton.person.limb * np.interp(lengths, levels, [14, 15.5, 14.5, 10.3, 10.2, 10.4, 6, 5.6])


def _leg(skeleton: Skeleton, side: int) -> list[Part]:
    thigh, shin = np.linspace(-10, 92, 10), np.linspace(92, 182, 10)
    parts = []
    for lengths, part in ((thigh, UPPER_LEG_PARTS[side]), (shin, LOWER_LEG_PARTS[side])):
        vertices = ribbon(skeleton.leg(side, lengths), leg_radius(skeleton, lengths) * skeleton.unit)
        parts.append(_skin(skeleton, vertices, LEG_LABELS[side], 0.3, (part, part)))
    lengths = np.linspace(174, 198, 7)
    outward = np.array([OUTWARD[side] * skeleton.unit * 4, 0.0])
    centres = skeleton.leg(side, lengths) + np.linspace(0, 1, 7)[:, None] * outward
    half_widths = skeleton.unit * np.array([6.0, 6.6, 7.2, 8.0, 8.6, 7.6, 3.5])
    vertices = ribbon(centres, half_widths)
    foot = (FOOT_PARTS[side], FOOT_PARTS[side])
    coordinates = surface_coordinates(*vertices.shape[:2])
    shoe = Part(vertices, coordinates, SHOE_LABELS[side], 0.32, Finish.SHOE, skeleton.person.shoe_colour, foot)
    return [*parts, shoe]


def waistband(skeleton: Skeleton) -> float:
    """Height of the upper edge of what is worn below, in body units below the neck root."""
    person = skeleton.person
    return (HIGH_WAIST if person.tucked else LOW_WAIST) * person.torso


def _bottoms(skeleton: Skeleton) -> list[Part]:
    person = skeleton.person
    top, crotch = waistband(skeleton), person.torso + 16

    def cloth(vertices: Array, finish: Finish) -> Part:
        coordinates = surface_coordinates(*vertices.shape[:2])
        return Part(vertices, coordinates, Label.BOTTOMS, 0.45, finish, person.bottom_colour)

    across = np.linspace(-1, 1, 9)
    if person.bottom == "skirt":
        end = person.torso + 22 + 62 * person.bottom_length
        down = np.linspace(top, end, 14)
        flare = 1.2 + 13 * person.bottom_length * ramp(down, person.torso, end)
        half_widths = skeleton.torso_half_width(np.minimum(down, person.torso + 10)) + flare
        return [cloth(skeleton.torso(half_widths[:, None] * across, down[:, None]), Finish.WAIST)]
    # The lower edge runs from the hips down to the crotch, as creases do.
    reach = np.linspace(0, 1, 9)[:, None]
    down = top * (1 - reach) + (crotch - 17 * np.abs(across)) * reach
    pelvis = skeleton.torso((skeleton.torso_half_width(down[:, 4]) + 1.2)[:, None] * across, down)
    end = 178.0 if person.bottom == "trousers" else 22 + 40 * person.bottom_length
    lengths = np.linspace(-4, end, 16)
    ease = 1.0 + 2.5 * person.bottom_length
    sheets = []
    for side in (RIGHT, LEFT):
        half_widths = np.maximum(leg_radius(skeleton, lengths) + ease, 8.5)
        sheets.append(ribbon(skeleton.leg(side, lengths), half_widths * skeleton.unit))
    return [*(cloth(sheet, Finish.CLOTH) for sheet in sheets), cloth(pelvis, Finish.WAIST)]


def _face(skeleton: Skeleton) -> list[Part]:
    """The ears and the face."""
    person = skeleton.person
    y = np.sin(np.linspace(-0.5 * np.pi, 0.5 * np.pi, 21))
    cheeks = np.interp(y, [-1, -0.5, 0, 0.4, 0.7, 0.9, 1], [1, 1, 1, 0.97, 0.9, 0.85, 0.85])
    x = np.linspace(-1, 1, 9)[None, :] * (np.sqrt(np.maximum(1 - y**2, 0)) * cheeks)[:, None]
    coordinates = np.stack([x, np.broadcast_to(y[:, None], x.shape)], axis=2)
    face = Part(skeleton.on_head(x, y[:, None]), coordinates, Label.FACE, 0.6, Finish.FACE, person.skin, HEAD_PARTS)
    ear_y = np.array([-0.14, -0.1, 0.0, 0.12, 0.22, 0.27])
    ear_width = HEAD_WIDTH * np.array([0.03, 0.12, 0.16, 0.13, 0.1, 0.03])
    ears = [
        ribbon(skeleton.on_head(outward * np.linspace(1.02, 0.94, 6), ear_y), ear_width * skeleton.unit, columns=5)
        for outward in OUTWARD
    ]
    return [*(_skin(skeleton, ear, Label.FACE, 0.5, HEAD_PARTS) for ear in ears), face]


def _hair(skeleton: Skeleton) -> tuple[list[Part], list[Part]]:
    """Hair behind the body, and hair over the face and shoulders."""
    person = skeleton.person

    def hair(vertices: Array, depth: float) -> Part:
        coordinates = surface_coordinates(*vertices.shape[:2])
        return Part(vertices, coordinates, Label.HAIR, depth, Finish.HAIR, person.hair)

    angles = np.linspace(-0.62 * np.pi, 0.62 * np.pi, 27)
    if person.hair_style == "short":
        angles = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 27)
    outer = np.stack([1.12 * np.sin(angles), -1.14 * np.cos(angles)], axis=1)
    parted = 0.26 * np.exp(-(((np.sin(angles) - person.parting) / 0.45) ** 2))
    line = np.stack([0.9 * np.sin(angles), -(0.56 + parted) * np.cos(angles)], axis=1)
    reach = np.linspace(0, 1, 5)[None, :, None]
    cap_local = outer[:, None] * (1 - reach) + line[:, None] * reach
    cap = hair(skeleton.on_head(cap_local[..., 0], cap_local[..., 1]), 0.62)

    def ball(x: float, y: float, radius: float) -> Array:
        turn, size = np.meshgrid(np.linspace(0, 2 * np.pi, 17), np.linspace(0, 1, 4))
        return skeleton.on_head(x + size * radius * np.sin(turn), y - size * radius * 0.74 * np.cos(turn))

    behind, front = [], [cap]
    if person.hair_style == "bun":
        behind.append(hair(ball(0.3 * person.parting, -1.12, 0.52), 0.1))
    if person.hair_style in ("long", "bob"):
        length = 2.9 if person.hair_style == "long" else 1.25
        y = np.linspace(-0.95, length, 13)
        half = np.interp(y, [-0.95, -0.5, 0.3, 1.2, length], [0.5, 1.08, 1.2, 1.3, 1.0])
        behind.append(hair(skeleton.on_head(half[:, None] * np.linspace(-1, 1, 9), y[:, None]), 0.1))
    if person.hair_style == "ponytail":
        y = np.linspace(-0.4, 2.4, 11)
        x = 0.2 + np.interp(y, [-0.4, 0.3, 1.3, 2.4], [0.3, 0.8, 0.95, 0.75])
        centres = skeleton.on_head(np.sign(person.parting) * x, y)
        half = np.interp(y, [-0.4, 0.3, 1.6, 2.4], [6.0, 8.0, 7.0, 2.0])
        behind.append(hair(ribbon(centres, half * skeleton.unit), 0.1))
    if person.hair_style == "long":
        for side in (RIGHT, LEFT):
            if person.hair_front[side]:
                front.append(hair(_strand(skeleton, OUTWARD[side]), 0.66))
    return behind, front


def _strand(skeleton: Skeleton, outward: float) -> Array:
    """A lock of hair from the temple over the shoulder to the chest."""
    temple = skeleton.on_head(outward * 0.98, -0.3)
    jaw = skeleton.on_head(outward * 1.1, 0.9)
    collar = skeleton.torso(outward * 19.0, 14.0)
    chest = skeleton.torso(outward * 17.0, 50.0)
    t = np.linspace(0, 1, 14)[:, None]
    line = (1 - t) ** 3 * temple + 3 * t * (1 - t) ** 2 * jaw + 3 * t**2 * (1 - t) * collar + t**3 * chest
    half = np.interp(t[:, 0], [0, 0.3, 0.75, 1], [0.16, 0.4, 0.42, 0.12]) * HEAD_WIDTH
    return ribbon(line, half * skeleton.unit)


def build_body(skeleton: Skeleton) -> Body:
    """All sheets of a posed person apart from the garment."""
    body = Body()
    hair_behind, hair_front = _hair(skeleton)
    body.behind += hair_behind
    for side in (RIGHT, LEFT):
        body.trunk += _leg(skeleton, side)
    body.trunk += _torso(skeleton)
    body.bottoms += _bottoms(skeleton)
    body.head += [*_face(skeleton), *hair_front]
    for side in (RIGHT, LEFT):
        top, rest = _arm(skeleton, side)
        if skeleton.person.arms[side].behind:
            body.behind += top
        else:
            body.trunk += top
        body.arms.append(rest)
    return body
