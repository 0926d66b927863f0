"""Garments: what they look like, their sheets laid flat for the product photo, and the same sheets worn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import arm_radius, waistband
from .parts import Finish, Label, Part, normals, surface_coordinates
from .person import Colour
from .raster import Array
from .skeleton import LEFT, OUTWARD, RIGHT, Skeleton, ramp

ARMHOLE = 38.0
"""Depth of the armpit below the neck root, in body units."""
ARMHOLE_ROWS = 7
"""Vertices from the shoulder to the armpit; sleeves share them, so that nothing tears."""
SLEEVE_START = -5.0
"""Where sleeves begin on the arm, in body units from the shoulder joint."""
FRAME_FILL = 0.9
"""Part of the product photo that the garment spans."""
REFERENCE_CHEST, REFERENCE_TORSO = 29.0, 120.0
"""Body that garments are cut for."""
WRAP = 0.88
"""Width seen on the body over width laid flat: the rest goes round the sides."""

PALETTE: tuple[Colour, ...] = (
    (206, 38, 50),
    (236, 104, 44),
    (246, 196, 52),
    (60, 150, 76),
    (24, 104, 108),
    (44, 98, 190),
    (28, 40, 92),
    (112, 62, 150),
    (224, 92, 150),
    (246, 186, 196),
    (140, 206, 220),
    (176, 220, 160),
    (246, 240, 224),
    (250, 250, 248),
    (34, 34, 38),
    (128, 132, 138),
    (124, 30, 52),
    (146, 104, 66),
)
NECKLINES = {
    "crew": ((14, 17), (7, 11)),
    "v": ((13, 17), (22, 33)),
    "scoop": ((15, 21), (17, 26)),
    "boat": ((21, 24), (4, 7)),
    "polo": ((12, 13.5), (5, 6)),
}
"""Ranges of half width and depth."""
SLEEVES = {
    "none": ((0, 0), (0, 0), (0, 0)),
    "short": ((25, 34), (0.8, 1.05), (10.5, 12.5)),
    "elbow": ((48, 60), (0.54, 0.7), (10.5, 12.5)),
    "long": ((106, 118), (0.24, 0.4), (6.5, 9.0)),
}
"""Ranges of length, angle from the vertical when laid flat, and half width of the cuff."""
SLEEVE_SHARES = (0.2, 0.32, 0.16, 0.32)
FITS = {
    "fitted": (33.5, 28.0, 36.5),
    "straight": (36.5, 35.0, 37.0),
    "boxy": (41.0, 40.0, 40.0),
    "flared": (35.0, 37.0, 47.0),
}
"""Half widths at chest, waist and hem."""
PATTERNS = ("plain", "horizontal", "vertical", "diagonal", "checks", "dots", "print", "lettering", "blocks")


@dataclass(frozen=True)
class Garment:
    """Everything that decides how an upper garment looks.

    Lengths are body units (see `ArmPose`) on the reference body, widths are half widths of the garment laid flat,
    angles are radians. `pattern_size` is the period of a pattern as a part of the chest's width.
    """

    shoulder: float
    chest: float
    waist: float
    hem: float
    length: float
    hem_curve: float
    neckline: str
    neck: float
    neck_depth: float
    sleeve: float
    sleeve_angle: float
    cuff: float
    pattern: str
    colour: Colour
    second: Colour
    third: Colour
    pattern_size: float
    pattern_phase: float
    word: str
    shape: str
    contrast_sleeves: bool
    contrast_trim: bool
    fold_seed: int


def _contrast(rng: np.random.Generator, colour: Colour) -> Colour:
    """A palette colour that stands out from another."""
    distances = np.abs(np.asarray(PALETTE, dtype=np.float64) - colour).sum(axis=1)
    candidates = np.flatnonzero(distances > 170)
    return PALETTE[int(rng.choice(candidates))]


def _word(rng: np.random.Generator) -> str:
    consonants, vowels = list("BDFGKLMNPRSTVZ"), list("AEIOU")
    letters = [rng.choice(consonants if i % 2 == 0 else vowels) for i in range(int(rng.integers(3, 6)))]
    return "".join(str(letter) for letter in letters)


def draw_garment(rng: np.random.Generator) -> Garment:
    """A random garment."""
    chest, waist, hem = FITS[str(rng.choice(list(FITS)))]
    neckline = str(rng.choice(list(NECKLINES)))
    neck, depth = NECKLINES[neckline]
    sleeve, sleeve_angle, cuff = SLEEVES[str(rng.choice(list(SLEEVES), p=SLEEVE_SHARES))]
    length = rng.uniform(*((84, 96) if rng.random() < 0.16 else (112, 142)))
    sleeve_length = rng.uniform(*sleeve)
    colour = PALETTE[int(rng.integers(len(PALETTE)))]
    second = _contrast(rng, colour)
    return Garment(
        shoulder=rng.uniform(31.5, 33.5) if sleeve_length else rng.uniform(26.0, 29.0),
        chest=chest + rng.uniform(-1, 1.5),
        waist=waist + rng.uniform(-1.5, 1.5),
        hem=hem + rng.uniform(-1.5, 2),
        length=length,
        hem_curve=rng.uniform(-1, 7),
        neckline=neckline,
        neck=rng.uniform(*neck),
        neck_depth=rng.uniform(*depth),
        sleeve=sleeve_length,
        sleeve_angle=rng.uniform(*sleeve_angle),
        cuff=rng.uniform(*cuff),
        pattern=str(rng.choice(PATTERNS)),
        colour=colour,
        second=second,
        third=_contrast(rng, second),
        pattern_size=rng.uniform(0.15, 0.32),
        pattern_phase=rng.random(),
        word=_word(rng),
        shape=str(rng.choice(["disc", "star", "diamond", "heart", "rings", "stripe"])),
        contrast_sleeves=bool(rng.random() < 0.15),
        contrast_trim=bool(rng.random() < 0.25),
        fold_seed=int(rng.integers(2**31)),
    )


def _columns(garment: Garment) -> Array:
    """Across positions of the torso sheet's vertices; two of them are the neck points."""
    neck = garment.neck / garment.shoulder
    side = np.linspace(neck, 1, 5)
    return np.concatenate([-side[::-1], np.linspace(-neck, neck, 17)[1:-1], side])


def shoulder_line(x: Array | float) -> Array:
    """Height of the shoulders (body units below the neck root) at a distance from the middle."""
    return np.interp(np.abs(x), [9, 13, 19, 25.5, 29, 33, 36], [-2, 1, 4, 7, 8.6, 10.8, 13.5])


def neckline(garment: Garment, x: Array) -> Array:
    """Height of a garment's top edge at a distance from the middle."""
    s = np.clip(np.abs(x) / garment.neck, 0, 1)
    shape = {
        "crew": np.sqrt(1 - s**2),
        "scoop": (1 - s**3) ** 0.6,
        "v": 1 - s,
        "boat": 1 - s**2,
        "polo": np.sqrt(1 - s**2),
    }[garment.neckline]
    inside = shoulder_line(garment.neck) + garment.neck_depth * shape
    return np.where(np.abs(x) < garment.neck, inside, shoulder_line(x))


def half_width(garment: Garment, down: Array) -> Array:
    """Half width of the garment laid flat, below the armpits."""
    levels = [ARMHOLE, 0.5 * (ARMHOLE + 80), 80, 118, 140]
    widths = [garment.chest, 0.55 * garment.chest + 0.45 * garment.waist, garment.waist, garment.hem - 1, garment.hem]
    return np.interp(down, levels, widths)


def _torso_grid(garment: Garment) -> tuple[Array, Array, Array, Array]:
    """Of the torso sheet's vertices: across, height, the row's half width, and 0 (shoulder) to 1 (armpit, below)."""
    across = _columns(garment)
    t = np.linspace(0, 1, ARMHOLE_ROWS)
    top = neckline(garment, across * garment.shoulder)
    upper = top * (1 - t[:, None]) + ARMHOLE * t[:, None]
    inset = 1.6 if garment.sleeve else 3.6
    upper_width = garment.shoulder + (garment.chest - garment.shoulder) * t**2 - inset * np.sin(np.pi * t)
    hem = garment.length + garment.hem_curve * (0.5 - across**2)
    s = np.linspace(0, 1, 16)[1:, None]
    lower = ARMHOLE * (1 - s) + hem * s
    lower_width = half_width(garment, lower.mean(axis=1))
    down = np.concatenate([upper, lower])
    widths = np.concatenate([upper_width, lower_width])[:, None]
    below = np.concatenate([t, np.ones(len(lower))])[:, None]
    return np.broadcast_to(across, down.shape), down, widths, below


def _flat_sleeve(garment: Garment, root: Array, outward: float) -> Array:
    """A sleeve laid flat, from its root (shoulder to armpit) to the cuff; rows × len(root) × 2."""
    direction = np.array([outward * np.sin(garment.sleeve_angle), np.cos(garment.sleeve_angle)])
    inward = np.array([-outward * direction[1], outward * direction[0]])
    end = root[0] + garment.sleeve * direction + 3.0 * np.array([outward, 0.2])
    t = np.linspace(0, 1, _sleeve_rows(garment))[:, None]
    # The outer edge leaves the shoulder in the direction of the shoulder line, then hangs.
    control = root[0] + min(0.4 * garment.sleeve, 14) * np.array([outward * 0.8, 0.55])
    outer = (1 - t) ** 2 * root[0] + 2 * t * (1 - t) * control + t**2 * end
    inner = (1 - t) * root[-1] + t * (end + 2 * garment.cuff * inward)
    s = np.linspace(0, 1, len(root))[None, :, None]
    straight = outer[:, None] * (1 - s) + inner[:, None] * s
    curve = root - (root[0] + (root[-1] - root[0]) * s[0])
    return straight + curve[None] * (1 - t[:, None])


def _sleeve_rows(garment: Garment) -> int:
    return 6 + int(garment.sleeve / 5)


@dataclass(frozen=True)
class FlatGarment:
    """A garment laid flat in its product photo.

    Attributes:
        sheets: torso and, if there are any, the sleeves on the person's right and left, in garment units
            (body units from the neck root).
        scale: pixels of the product photo in one garment unit.
        origin: the neck root's pixel position.
    """

    sheets: list[Array]
    scale: float
    origin: Array

    def pixels(self, points: Array) -> Array:
        """Garment units to pixels of the product photo."""
        return points * self.scale + self.origin


def lay_flat(garment: Garment, height: int, width: int) -> FlatGarment:
    """Place a garment in a product photo of given size."""
    across, down, widths, _ = _torso_grid(garment)
    torso = np.stack([across * widths, down], axis=2)
    sheets = [torso]
    if garment.sleeve:
        for side in (RIGHT, LEFT):
            root = torso[:ARMHOLE_ROWS, 0 if side == RIGHT else -1]
            sheets.append(_flat_sleeve(garment, root, OUTWARD[side]))
    points = np.concatenate([sheet.reshape(-1, 2) for sheet in sheets])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = float(np.min(FRAME_FILL * np.array([width, height]) / (high - low)))
    origin = np.array([width - 1, height - 1]) / 2 - scale * (low + high) / 2
    return FlatGarment(sheets, scale, origin)


def wear(garment: Garment, flat: FlatGarment, skeleton: Skeleton) -> tuple[Part, list[list[Part]]]:
    """The garment's sheets on a person.

    The torso sheet follows the torso's frame; sleeves start from its vertices and turn into cross-sections of the arms.

    Returns:
        The torso, and the sleeve of the right and of the left arm (none for a sleeveless garment).
    """
    person = skeleton.person
    across, down, widths, below = _torso_grid(garment)
    worn_down = down * person.torso / REFERENCE_TORSO
    loose = WRAP * widths * person.chest / REFERENCE_CHEST
    snug = skeleton.torso_half_width(worn_down) + 1.3
    chest_width = np.maximum(loose, snug)
    if person.tucked:  # gathered into the waistband, hidden below it
        gathered = ramp(worn_down, waistband(skeleton) - 20, waistband(skeleton) - 2)
        chest_width = chest_width + gathered * (snug - 1.0 - chest_width)
    shoulder_width = widths * person.shoulder / 30
    worn_width = shoulder_width + (chest_width - shoulder_width) * ramp(below, 0, 1)
    # Round the body: equal lengths of cloth look shorter towards the sides.
    turn = 1.05 * below
    bent = np.where(turn > 0, np.sin(turn * across) / np.sin(np.maximum(turn, 1e-6)), across)
    torso = skeleton.torso(bent * worn_width, worn_down)
    for side in (RIGHT, LEFT):
        raised = skeleton.shoulders[side] - skeleton.shoulder_rest(side)
        weight = np.clip(OUTWARD[side] * across, 0, 1) ** 2 * (1 - ramp(below, 0, 1))
        torso = torso + weight[..., None] * raised

    def part(vertices: Array, source: Array, depth: float) -> Part:
        coordinates = surface_coordinates(*vertices.shape[:2])
        return Part(vertices, coordinates, Label.GARMENT, depth, Finish.GARMENT, garment.colour, source=source)

    sleeves: list[list[Part]] = [[], []]
    if garment.sleeve:
        for side in (RIGHT, LEFT):
            root = torso[:ARMHOLE_ROWS, 0 if side == RIGHT else -1]
            depth = 0.2 if person.arms[side].behind else 0.8
            worn = _worn_sleeve(garment, skeleton, side, root)
            sleeves[side].append(part(worn, flat.pixels(flat.sheets[1 + side]), depth))
    return part(torso, flat.pixels(flat.sheets[0]), 0.55), sleeves


def _worn_sleeve(garment: Garment, skeleton: Skeleton, side: int, root: Array) -> Array:
    """A sleeve on an arm, rows × len(root) × 2, outer side first as laid flat."""
    _, wrist = skeleton.arm_lengths(side)
    t = np.linspace(0, 1, _sleeve_rows(garment))
    length = min(garment.sleeve, 118.0) * (wrist / 117.0)
    lengths = SLEEVE_START + (length - SLEEVE_START) * t
    laid = (1 - t) * 13.5 + t * garment.cuff
    radius = np.maximum(arm_radius(skeleton, side, lengths) + 1.3, WRAP * laid)
    centres = skeleton.arm(side, lengths)
    outer = OUTWARD[side] * normals(centres)
    s = np.linspace(1, -1, len(root))
    sections = centres[:, None] + s[None, :, None] * (radius * skeleton.unit)[:, None, None] * outer[:, None]
    # The outer edge lies on the shoulder at once, the inner one stays with the armpit for longer.
    reach = np.linspace(7, min(32.0, 0.9 * length), len(root))
    settle = ramp((lengths[:, None] - SLEEVE_START) / reach, 0, 1)[..., None]
    carried = root[None] + (centres - centres[0])[:, None]
    return carried * (1 - settle) + sections * settle
