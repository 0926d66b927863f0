"""Pictures of a person in a garment, with the truth behind every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .body import build_body
from .garments import FlatGarment, Garment, lay_flat, wear
from .parts import Finish, Label, Part
from .person import Person
from .raster import Raster
from .skeleton import LEFT, RIGHT, Skeleton
from .textures import paint

SUPERSAMPLE = 3
PRODUCT_BACKGROUND = 248


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


def _folds(seed: int, x: NDArray, y: NDArray) -> NDArray:
    rng = np.random.default_rng(seed)
    total = np.zeros_like(x)
    for _ in range(5):
        frequency, direction, phase = rng.uniform(1.0, 2.6), rng.normal(0, 0.5), rng.uniform(0, 2 * np.pi)
        total += np.sin(2 * np.pi * frequency * (x * np.cos(direction) + y * np.sin(direction)) + phase)
    return total / 5


def photograph(garment: Garment, height: int, width: int) -> Product:
    """The product photo of a garment."""
    flat = lay_flat(garment, height, width)
    cloth = paint(garment, flat, height, width, SUPERSAMPLE)
    raster = Raster([flat.pixels(sheet) for sheet in flat.sheets], height, width, SUPERSAMPLE)
    samples = np.flatnonzero(raster.triangle >= 0)
    colour = np.full((*raster.triangle.shape, 3), PRODUCT_BACKGROUND, dtype=np.float32)
    y, x = np.divmod(samples, raster.triangle.shape[1])
    shade = 1 + 0.07 * _folds(
        garment.fold_seed, x / (60 * flat.scale * SUPERSAMPLE), y / (180 * flat.scale * SUPERSAMPLE)
    )
    colour.reshape(-1, 3)[samples] = cloth.reshape(-1, 3)[samples] * shade[:, None]
    photo = np.clip(raster.average(colour) + 0.5, 0, 255).astype(np.uint8)
    mask = np.where(raster.at_centres(raster.triangle) >= 0, 255, 0).astype(np.uint8)
    return Product(photo, mask, cloth, flat)


def _ordered(skeleton: Skeleton, torso: Part, sleeves: list[Part | None]) -> list[Part]:
    body = build_body(skeleton)
    arms = skeleton.person.arms
    behind = [sleeves[side] for side in (RIGHT, LEFT) if arms[side].behind]
    front = [sleeves[side] for side in (RIGHT, LEFT) if not arms[side].behind]
    clothes = [torso, *body.bottoms] if skeleton.person.tucked else [*body.bottoms, torso]
    parts = [*body.behind, *behind, *body.trunk, *clothes, *body.head, *body.front, *front]
    return [part for part in parts if part is not None]


def _densepose(parts: list[Part], height: int, width: int) -> NDArray[np.uint8]:
    body = [part for part in parts if part.densepose != (0, 0)]
    raster = Raster([part.vertices for part in body], height, width, 1)
    samples = np.flatnonzero(raster.triangle >= 0)
    across = raster.interpolate([part.coordinates[..., :1] for part in body], samples)[:, 0]
    indices = np.array([part.densepose for part in body], dtype=np.uint8)
    result = np.zeros(height * width, dtype=np.uint8)
    result[samples] = indices[raster.sheet_of[raster.triangle.ravel()[samples]], (across >= 0).astype(np.intp)]
    return result.reshape(height, width)


def _occlusion(depth: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """How much nearer the surroundings of each sample are than the sample itself."""
    levels = Image.fromarray((255 * depth).astype(np.uint8))
    near = np.asarray(levels.filter(ImageFilter.BoxBlur(radius)).filter(ImageFilter.BoxBlur(radius)), dtype=np.float32)
    return np.maximum(near / 255 - depth, 0)


def _backdrop(person: Person, height: int, width: int) -> NDArray[np.float32]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height)
    wall = np.asarray(person.wall, dtype=np.float32)
    shade = 1 + 0.05 * person.light * (x - 0.4)
    if person.backdrop == "gradient":
        shade = shade * (1.03 - 0.14 * y)
    if person.backdrop == "room":
        shade = shade * np.where(y > 0.86, 0.86 - 0.1 * (y - 0.86), 1.0)
    return wall * shade[..., None]


def render(person: Person, garment: Garment, product: Product) -> Rendering:
    """A person wearing a garment, at the size of its product photo."""
    height, width = product.mask.shape
    skeleton = Skeleton(person, height, width)
    parts = _ordered(skeleton, *wear(garment, product.flat, skeleton))
    raster = Raster([part.vertices for part in parts], height, width, SUPERSAMPLE)
    shown = raster.triangle.ravel()
    samples = np.flatnonzero(shown >= 0)
    part_of = raster.sheet_of[shown[samples]]
    finish = np.array([part.finish for part in parts])[part_of]
    coordinates = raster.interpolate([part.coordinates for part in parts], samples)

    colour = np.array([part.colour for part in parts], dtype=np.float32)[part_of]
    on_garment = finish == Finish.GARMENT
    nowhere = np.full((1, 1, 2), np.nan)
    sources = [np.broadcast_to(nowhere, part.vertices.shape) if part.source is None else part.source for part in parts]
    source = raster.interpolate(sources, samples[on_garment])
    texel = np.rint(source * SUPERSAMPLE + (SUPERSAMPLE - 1) / 2).astype(np.intp)
    texel_x = np.clip(texel[:, 0], 0, width * SUPERSAMPLE - 1)
    texel_y = np.clip(texel[:, 1], 0, height * SUPERSAMPLE - 1)
    colour[on_garment] = product.cloth[texel_y, texel_x]

    depth = np.zeros(shown.size, dtype=np.float32)
    depth[samples] = np.array([part.depth for part in parts], dtype=np.float32)[part_of]
    depth = depth.reshape(raster.triangle.shape)
    shadow = _occlusion(depth, 4 * skeleton.unit * SUPERSAMPLE).ravel()[samples]
    across = coordinates[:, 0]
    shade = 1.02 - 0.22 * across**2 + 0.12 * person.light * across
    shade -= 0.7 * shadow
    y, x = np.divmod(samples[on_garment], raster.triangle.shape[1])
    span = 60 * skeleton.unit * SUPERSAMPLE
    shade[on_garment] += 0.06 * _folds(person.fold_seed, x / span, y / (2 * span))
    colour *= shade[:, None].astype(np.float32)

    canvas = np.zeros((shown.size, 4), dtype=np.float32)
    canvas[samples, :3] = np.clip(colour, 0, 255)
    canvas[samples, 3] = 1
    mean = raster.average(canvas.reshape(*raster.triangle.shape, 4))
    photo = mean[..., :3] + (1 - mean[..., 3:]) * _backdrop(person, height, width)

    centre_sheet = np.where(
        raster.at_centres(raster.triangle) >= 0, raster.sheet_of[raster.at_centres(raster.triangle)], len(parts)
    )
    labels = np.array([*(part.label for part in parts), Label.BACKGROUND], dtype=np.uint8)
    bare = np.array([*(p.finish == Finish.SKIN and p.label == Label.BACKGROUND for p in parts), False])
    full_source = np.full((shown.size, 2), np.nan, dtype=np.float32)
    full_source[samples[on_garment]] = source
    full_source = full_source.reshape(*raster.triangle.shape, 2)

    keypoints = np.concatenate([skeleton.keypoints(), np.ones((18, 1))], axis=1)
    inside = ((keypoints[:, :2] >= 0) & (keypoints[:, :2] <= [width - 1, height - 1])).all(axis=1)
    return Rendering(
        photo=np.clip(photo + 0.5, 0, 255).astype(np.uint8),
        parsing=labels[centre_sheet],
        densepose=_densepose(parts, height, width),
        keypoints=keypoints * inside[:, None],
        source=np.ascontiguousarray(np.moveaxis(raster.at_centres(full_source), 2, 0)),
        neck=bare[centre_sheet],
    )
