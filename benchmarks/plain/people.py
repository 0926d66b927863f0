"""What the networks see of a person, and a person dressed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.plain.networks import Generator, Level, WarpNetwork, sample
from tryon.data.sample import Garment, Person

DENSEPOSE_PARTS = 25
HANDS, ARMS = (3, 4), range(15, 23)
TUTOR_CONDITION, TUTOR_INPUT = 45, 8  # channels
STUDENT_CONDITION, STUDENT_INPUT = 3, 7


@dataclass(frozen=True)
class Warped:
    """A garment and its mask warped, and the levels of the flow that did it."""

    levels: list[Level]
    garment: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Dressed:
    """What a generator renders around a warped garment, and the two composed."""

    rendered: Tensor
    composition: Tensor
    image: Tensor


def is_one_of(parts: Tensor, values: Sequence[int]) -> Tensor:
    """N x H x W integers to a mask N x 1 x H x W, float32."""
    return sum(parts == value for value in values)[:, None].float()


def pose_maps(keypoints: Tensor, height: int, width: int) -> Tensor:
    """A filled square for each keypoint, 5 pixels around it at a height of 256, in a channel of its own."""
    radius = max(1, round(5 * height / 256))
    maps = keypoints.new_full((*keypoints.shape[:2], height, width), -1)
    for person, points in zip(maps, keypoints.tolist(), strict=True):
        for channel, (x, y, present) in zip(person, points, strict=True):
            if present:
                rows, columns = (slice(max(0, math.ceil(p - radius)), max(0, int(p + radius) + 1)) for p in (y, x))
                channel[rows, columns] = 1
    return maps


def tutor_condition(person: Person) -> Tensor:
    """Face and other clothes, DensePose one-hot, pose: N x 45 x H x W."""
    densepose = torch.cat([is_one_of(person.densepose, (part,)) for part in range(DENSEPOSE_PARTS)], 1)
    pose = pose_maps(person.keypoints, *person.photo.shape[2:])
    return torch.cat((person.regions.face, person.regions.other_clothes, densepose, pose), 1)


def tutor_input(person: Person, warped: Warped, covered: Tensor) -> Tensor:
    """What is preserved of the photo, the warped garment, its mask, and the arms that are not covered."""
    hands = person.regions.arms * is_one_of(person.densepose, HANDS)
    preserved = person.photo * (person.regions.face + person.regions.other_clothes + hands)
    arms = is_one_of(person.densepose, ARMS) * (1 - covered)
    return torch.cat((preserved, warped.garment, warped.mask, arms), 1)


def student_input(photo: Tensor, warped: Warped) -> Tensor:
    """The photo, the warped garment and its mask."""
    return torch.cat((photo, warped.garment, warped.mask), 1)


def warp(network: WarpNetwork, garment: Garment, condition: Tensor) -> Warped:
    """The garment with a repeated border, its mask with zeros around it."""
    levels = network(garment.image, condition)
    sampling_map = levels[-1].sampling_map
    return Warped(levels, sample(garment.image, sampling_map), sample(garment.mask, sampling_map, "zeros"))


def dress(generator: Generator, inputs: Tensor, warped: Warped, region: Tensor | None = None) -> Dressed:
    """In training on a real pair the warped garment shows in the photo's garment `region` alone."""
    output = generator(inputs)
    rendered, composition = output[:, :3].tanh(), output[:, 3:].sigmoid() * warped.mask
    if region is not None:
        composition = composition * region
    return Dressed(rendered, composition, warped.garment * composition + rendered * (1 - composition))
