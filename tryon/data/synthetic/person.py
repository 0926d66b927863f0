"""Who is drawn: build, pose, colours and what they wear below the waist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

SKIN: tuple[Colour, ...] = (
    (250, 224, 204),
    (243, 208, 180),
    (231, 188, 154),
    (214, 165, 126),
    (190, 136, 98),
    (156, 105, 73),
    (120, 78, 54),
    (88, 56, 41),
)
HAIR: tuple[Colour, ...] = (
    (28, 22, 20),
    (48, 34, 26),
    (82, 54, 36),
    (120, 80, 48),
    (176, 132, 78),
    (214, 180, 122),
    (146, 62, 36),
    (120, 116, 114),
)
BOTTOMS: tuple[Colour, ...] = (
    (30, 32, 40),
    (46, 66, 110),
    (96, 128, 170),
    (226, 224, 218),
    (148, 140, 128),
    (120, 96, 70),
    (70, 78, 62),
    (120, 36, 48),
    (168, 196, 226),
    (205, 186, 150),
)
# Fashion photos mostly stand before a white studio wall. The tutor never sees what is behind a person, so it can
# only guess any other.
STUDIO_SHARE = 0.7
STUDIO_WALLS: tuple[Colour, ...] = ((247, 247, 247), (243, 243, 245), (246, 244, 241))
WALLS: tuple[Colour, ...] = (
    (236, 236, 238),
    (222, 226, 230),
    (238, 231, 222),
    (214, 218, 212),
    (226, 214, 210),
    (203, 210, 220),
    (228, 228, 218),
)
ARM_POSES = {
    "down": ((36, 50), (125, 137), False),
    "front": ((20, 34), (108, 122), False),
    "hip": ((30, 36), (92, 106), False),
    "cross": ((-16, 8), (66, 96), False),
    "raised": ((24, 34), (-34, -14), False),
    "back": ((16, 26), (96, 112), True),
}
"""Range of a hand's `out` and `down` and whether it is `behind` (see `ArmPose`) for each kind of pose."""
ARM_POSE_SHARES = (0.46, 0.16, 0.16, 0.08, 0.06, 0.08)
HAIR_STYLES = ("short", "bun", "long", "ponytail", "bob")
BOTTOM_KINDS = ("trousers", "trousers", "skirt", "shorts")


@dataclass(frozen=True)
class ArmPose:
    """Where a hand is.

    Lengths are body units (one pixel of a photo 256 high at scale 1), measured from the neck root: `out` away from
    the body's middle on the arm's own side, `down` along the torso. `reach` scales the arm's length (foreshortening).
    """

    out: float
    down: float
    reach: float
    behind: bool


@dataclass(frozen=True)
class Person:
    """Everything that decides how a person looks apart from the garment.

    Lengths are body units, widths are half widths, angles are radians (clockwise in the picture); `arms` and other
    pairs hold the person's right side (left in the picture) first.
    """

    scale: float
    shift: float
    neck_height: float
    sway: float
    bend: float
    shoulder_tilt: float
    hip_tilt: float
    head_tilt: float
    head_turn: float
    shoulder: float
    chest: float
    waist: float
    hip: float
    limb: float
    torso: float
    arms: tuple[ArmPose, ArmPose]
    stance: tuple[float, float]
    skin: Colour
    hair: Colour
    hair_style: str
    parting: float
    hair_front: tuple[bool, bool]
    lips: Colour
    iris: Colour
    smile: float
    bottom: str
    bottom_colour: Colour
    bottom_length: float
    tucked: bool
    shoe_colour: Colour
    wall: Colour
    backdrop: str
    wall_detail: float
    light: float
    fold_seed: int


def _jitter(rng: np.random.Generator, colour: Colour, amount: int) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + rng.integers(-amount, amount + 1, 3), 0, 255)
    return int(red), int(green), int(blue)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...], amount: int) -> Colour:
    return _jitter(rng, colours[int(rng.integers(len(colours)))], amount)


def _arm(rng: np.random.Generator, kind: str) -> ArmPose:
    """A hand's place for one kind of pose."""
    (out_low, out_high), (down_low, down_high), behind = ARM_POSES[kind]
    return ArmPose(
        out=rng.uniform(out_low, out_high),
        down=rng.uniform(down_low, down_high),
        reach=rng.uniform(0.94, 1.02),
        behind=behind,
    )


def draw_person(rng: np.random.Generator) -> Person:
    """A random person."""
    full_length = rng.random() < 0.12
    scale = rng.uniform(0.55, 0.62) if full_length else rng.uniform(0.86, 1.08)
    kinds = rng.choice(
        ["down", "front", "hip", "cross", "raised", "back"], size=2, p=[0.46, 0.16, 0.16, 0.08, 0.06, 0.08]
    )
    if set(kinds) == {"cross"}:  # two crossing forearms hide the garment
        kinds[1] = "down"
    build = rng.uniform(-1, 1)
    sway = rng.normal(0, 4.5)
    studio = rng.random() < STUDIO_SHARE
    hair_style = str(rng.choice(HAIR_STYLES, p=[0.22, 0.2, 0.3, 0.14, 0.14]))
    return Person(
        scale=scale,
        shift=rng.uniform(-10, 10),
        neck_height=rng.uniform(4, 12) + 76 * scale,
        sway=sway,
        bend=-0.35 * sway + rng.normal(0, 1.5),
        shoulder_tilt=rng.normal(0, 0.045),
        hip_tilt=rng.normal(0, 0.04),
        head_tilt=rng.normal(0, 0.07),
        head_turn=rng.uniform(-1, 1),
        shoulder=30 + 1.5 * build + rng.uniform(-1.5, 1.5),
        chest=29 + 3 * build + rng.uniform(-1, 1),
        waist=24 + 4 * build + rng.uniform(-1.5, 1.5),
        hip=32 + 3 * build + rng.uniform(-1.5, 1.5),
        limb=1 + 0.12 * build + rng.uniform(-0.05, 0.05),
        torso=rng.uniform(114, 126),
        arms=(_arm(rng, str(kinds[0])), _arm(rng, str(kinds[1]))),
        stance=(rng.uniform(-3, 9), rng.uniform(-3, 9)),
        skin=_pick(rng, SKIN, 6),
        hair=_pick(rng, HAIR, 8),
        hair_style=hair_style,
        parting=rng.uniform(-0.7, 0.7),
        hair_front=(bool(rng.random() < 0.5), bool(rng.random() < 0.5)),
        lips=_jitter(rng, (186, 92, 92), 16),
        iris=_pick(rng, ((70, 46, 30), (90, 70, 40), (70, 100, 120), (66, 92, 60)), 8),
        smile=rng.uniform(-0.2, 1),
        bottom=str(rng.choice(BOTTOM_KINDS)),
        bottom_colour=_pick(rng, BOTTOMS, 12),
        bottom_length=rng.uniform(0.25, 1),
        tucked=bool(rng.random() < 0.22),
        shoe_colour=_pick(rng, ((30, 28, 30), (240, 238, 234), (120, 76, 48), (160, 40, 44)), 8),
        wall=_pick(rng, STUDIO_WALLS, 3) if studio else _pick(rng, WALLS, 8),
        backdrop="plain" if studio else str(rng.choice(["plain", "gradient", "room"])),
        wall_detail=rng.random(),
        light=rng.uniform(-0.6, 0.6),
        fold_seed=int(rng.integers(2**31)),
    )
