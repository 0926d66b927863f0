"""Pictures of a person in a garment, with the truth behind every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .body import build_body
from .garments import FlatGarment, Garment, lay_flat, wear
from .parts import Finish, Label, Part
from .person import Person
from .raster import Raster
from .shading import (
    GARMENT_SHADE,
    Values,
    backdrop,
    blurred,
    folds,
    hair_shade,
    hand_shade,
    paint_face,
    round_shade,
    waist_shade,
)
from .skeleton import LEFT, RIGHT, Skeleton
from .textures import paint

SUPERSAMPLE = 3
PRODUCT_BACKGROUND = 248
CLOTHES = np.isin(np.arange(len(Finish)), (Finish.CLOTH, Finish.WAIST, Finish.GARMENT))


@dataclass(frozen=True)
class Product:
    """A garment's product photo, H × W.

    Attributes:
        photo: uint8 RGB.
        mask: uint8, 255 on the garment and 0 beside it.
        cloth: colours of the cloth before shading, supersampled, uint8 RGB.
        flat: the sheets.
    """

    photo: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    cloth: NDArray[np.uint8]
    flat: FlatGarment


@dataclass(frozen=True)
class Rendering:
    """A person in a garment, H × W.

    Attributes:
        photo: uint8 RGB.
        parsing: uint8 labels (`Label`).
        densepose: uint8 part indices 0 to 24 of the body under the clothes.
        keypoints: 18 × 3, x and y in pixels and confidence; zeros for points outside the frame.
        source: float32 2 × H × W, for pixels of the garment the position (x, y) in pixels of the product photo they
            come from (integer pixel centres), NaN elsewhere.
        neck: bool, bare skin of the neck and trunk.
    """

    photo: NDArray[np.uint8]
    parsing: NDArray[np.uint8]
    densepose: NDArray[np.uint8]
    keypoints: NDArray[np.float64]
    source: NDArray[np.float32]
    neck: NDArray[np.bool_]


def photograph(garment: Garment, height: int, width: int) -> Product:
    """The product photo of a garment."""
    flat = lay_flat(garment, height, width)
    cloth = paint(garment, flat, height, width, SUPERSAMPLE)
    sheets = [flat.pixels(sheet) for sheet in flat.sheets]
    raster = Raster(sheets, height, width, SUPERSAMPLE)
    covered = raster.triangle >= 0
    samples = np.flatnonzero(covered)
    y, x = (place.astype(np.float32) for place in np.divmod(samples, covered.shape[1]))
    span = np.float32(garment.chest * flat.scale * SUPERSAMPLE)
    shade = 1 + 0.09 * folds(garment.fold_seed, x / span, y / (2 * span))
    # Cloth turns away from the light towards its edges.
    inside = blurred(raster.average(covered[..., None].astype(np.float32))[..., 0], 1.6 * flat.scale)
    shade -= 0.3 * (1 - inside.ravel()[raster.pixel_of(samples)])
    colour = np.full((covered.size, 3), PRODUCT_BACKGROUND, dtype=np.float32)
    shade = np.clip(shade, *GARMENT_SHADE)
    colour[samples] = np.clip(cloth.reshape(-1, 3)[samples] * shade[:, None], 0, 255)
    photo = raster.average(colour.reshape(*covered.shape, 3))
    mask = np.where(raster.at_centres(covered), 255, 0).astype(np.uint8)
    return Product((photo + 0.5).astype(np.uint8), mask, cloth, flat)


def _in_drawing_order(skeleton: Skeleton, torso: Part, sleeves: list[list[Part]]) -> list[Part]:
    """All sheets, the farthest first."""
    person, body = skeleton.person, build_body(skeleton)
    limbs = [[*body.arms[side], *sleeves[side]] for side in (RIGHT, LEFT)]
    behind = [part for side in (RIGHT, LEFT) if person.arms[side].behind for part in limbs[side]]
    # The hand that reaches farther across lies on the other arm.
    sides = sorted((RIGHT, LEFT), key=lambda side: -person.arms[side].out)
    front = [part for side in sides if not person.arms[side].behind for part in limbs[side]]
    clothes = [torso, *body.bottoms] if person.tucked else [*body.bottoms, torso]
    return [*body.behind, *behind, *body.trunk, *clothes, *body.head, *front]


def _densepose(parts: list[Part], height: int, width: int) -> NDArray[np.uint8]:
    body = [part for part in parts if part.densepose != (0, 0)]
    raster = Raster([part.vertices for part in body], height, width, 1)
    samples = np.flatnonzero(raster.triangle >= 0)
    across = raster.interpolate([part.coordinates[..., :1] for part in body], samples)[:, 0]
    indices = np.array([part.densepose for part in body], dtype=np.uint8)
    result = np.zeros(height * width, dtype=np.uint8)
    result[samples] = indices[raster.sheet_of[raster.triangle.ravel()[samples]], (across >= 0).astype(np.intp)]
    return result.reshape(height, width)


def _look_up(cloth: NDArray[np.uint8], source: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours of the cloth at product-photo positions (x, y) in pixels."""
    sample = np.rint(source * SUPERSAMPLE + (SUPERSAMPLE - 1) / 2).astype(np.intp)
    return cloth[np.clip(sample[:, 1], 0, cloth.shape[0] - 1), np.clip(sample[:, 0], 0, cloth.shape[1] - 1)]


def _shade(person: Person, finish: NDArray[np.intp], across: Values, along: Values, x: Values, y: Values) -> Values:
    """Brightness of each sample: its place on the surface, and (x, y) in half widths of the chest for folds."""
    shade = round_shade(across, person.light)
    for kind, detail in ((Finish.HAND, hand_shade), (Finish.WAIST, waist_shade), (Finish.HAIR, hair_shade)):
        chosen = np.flatnonzero(finish == kind)
        shade[chosen] *= detail(across[chosen], along[chosen])
    cloth = np.flatnonzero(CLOTHES[finish])
    shade[cloth] += 0.12 * folds(person.fold_seed, x[cloth], y[cloth])
    return shade


def render(person: Person, garment: Garment, product: Product) -> Rendering:
    """A person wearing a garment, at the size of its product photo."""
    height, width = product.mask.shape
    skeleton = Skeleton(person, height, width)
    parts = _in_drawing_order(skeleton, *wear(garment, product.flat, skeleton))
    raster = Raster([part.vertices for part in parts], height, width, SUPERSAMPLE)
    shown = raster.triangle.ravel()
    samples = np.flatnonzero(shown >= 0)
    part_of = raster.sheet_of[shown[samples]]
    finish = np.array([part.finish for part in parts])[part_of]
    across, along = raster.interpolate([part.coordinates for part in parts], samples).astype(np.float32).T
    colour = np.array([part.colour for part in parts], dtype=np.float32)[part_of]

    garment_samples = np.flatnonzero(finish == Finish.GARMENT)
    sources = [part.source if part.source is not None else np.zeros_like(part.vertices) for part in parts]
    source = raster.interpolate(sources, samples[garment_samples])
    colour[garment_samples] = _look_up(product.cloth, source)
    face = np.flatnonzero(finish == Finish.FACE)
    colour[face] = paint_face(person, colour[face], across[face], along[face])

    depth = np.zeros(shown.size, dtype=np.float32)
    depth[samples] = np.array([part.depth for part in parts], dtype=np.float32)[part_of]
    # What lies deeper than its surroundings is in their shadow.
    near = blurred(raster.average(depth.reshape(*raster.triangle.shape, 1))[..., 0], 4.5 * skeleton.unit)
    shadow = np.maximum(near.ravel()[raster.pixel_of(samples)] - depth[samples], 0)
    y, x = (place.astype(np.float32) for place in np.divmod(samples, raster.triangle.shape[1]))
    span = np.float32(person.chest * skeleton.unit * SUPERSAMPLE)
    shade = _shade(person, finish, across, along, x / span, y / span) - 0.8 * shadow
    colour *= np.clip(shade, *GARMENT_SHADE)[:, None]

    canvas = np.zeros((shown.size, 4), dtype=np.float32)
    canvas[samples, :3] = np.minimum(colour, 255)
    canvas[samples, 3] = 1
    mean = raster.average(canvas.reshape(*raster.triangle.shape, 4))
    photo = mean[..., :3] + (1 - mean[..., 3:]) * backdrop(person, mean[..., 3], skeleton.unit)

    everywhere = np.full((shown.size, 2), np.nan, dtype=np.float32)
    everywhere[samples[garment_samples]] = source
    at_centres = raster.at_centres(everywhere.reshape(*raster.triangle.shape, 2))
    centre = raster.at_centres(raster.triangle)
    sheet = np.where(centre >= 0, raster.sheet_of[centre], len(parts))
    labels = np.array([*(part.label for part in parts), Label.BACKGROUND], dtype=np.uint8)
    bare = np.array([*(part.finish == Finish.SKIN and part.label == Label.BACKGROUND for part in parts), False])
    joints = skeleton.keypoints()
    x, y = joints.T
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return Rendering(
        photo=np.clip(photo + 0.5, 0, 255).astype(np.uint8),
        parsing=labels[sheet],
        densepose=_densepose(parts, height, width),
        keypoints=np.column_stack([x, y, np.ones(len(joints))]) * inside[:, None],
        source=np.ascontiguousarray(np.moveaxis(at_centres, 2, 0)),
        neck=bare[sheet],
    )
