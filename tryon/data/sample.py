"""What training and inference pass around: people, garments and samples, single or stacked into a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from tryon.data.labels import Regions

T = TypeVar("T")


@dataclass(frozen=True)
class Garment:
    """A product photo.

    Attributes:
        image: 3 x H x W float32 in [-1, 1], multiplied by the mask: the background is 0, mid grey.
        mask: 1 x H x W float32, 1 on the garment.
    """

    image: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Person:
    """A photo of a person and what a parser-based network is told about it.

    Attributes:
        photo: 3 x H x W float32 in [-1, 1].
        regions: the parsing's regions, or None where the folder has no parsing of this person.
        keypoints: 18 x 3 float32 (x, y in pixels, 1 if present else 0) in COCO order, or None without a pose file.
        densepose: H x W int64 part index 0..24, or None without a DensePose file.
    """

    photo: Tensor
    regions: Regions | None
    keypoints: Tensor | None
    densepose: Tensor | None


@dataclass(frozen=True)
class Surroundings:
    """What is behind and before the people of a batch.

    Attributes:
        backdrop: N x 3 x H x W in [-1, 1], behind them.
        exchanged: N x 1 x 1 x 1, 1 where a sample gets the backdrop, 0 where it keeps its background.
        occluder: N x 3 x H x W in [-1, 1], before them.
        cover: N x 1 x H x W in [0, 1], where the occluder is.
    """

    backdrop: Tensor
    exchanged: Tensor
    occluder: Tensor
    cover: Tensor

    def around(self, photo: Tensor, own: Tensor, background: Tensor) -> Tensor:
        """`photo` with other surroundings.

        Args:
            photo: N x 3 x H x W.
            own: N x 3 x H x W, the photo that has the samples' own background.
            background: N x 1 x H x W, 1 where the background is to be seen.
        """
        behind = torch.where(self.exchanged > 0, self.backdrop, own)
        standing = torch.lerp(photo, behind, background)
        return torch.lerp(standing, self.occluder, self.cover)


@dataclass(frozen=True)
class Fake:
    """A picture of a person in another garment, by whatever system.

    Attributes:
        image: 3 x H x W float32 in [-1, 1].
        mask: 1 x H x W float32 in [0, 1], how much of each pixel shows that garment, or None where nothing tells.
        flow: 2 x H x W float32, which position of the product photo of the person's *own* garment each pixel of the
            photo shows, x and y in pixels, NaN where that is not known; or None without flows.
    """

    image: Tensor
    mask: Tensor | None
    flow: Tensor | None


@dataclass(frozen=True)
class Sample:
    """A training sample.

    Attributes:
        person: who is dressed.
        garment: what the person wears.
        other: another garment to dress the person in.
        surroundings: other ones, if there are.
        blots: where the picture of the person in the other garment may have the photo's pixels, if any may.
        hems: by how much of its height the hem of the other garment moves in that picture, if at all.
        fake: a picture of the person in another garment, where it is not the tutor who makes it.
    """

    person: Person
    garment: Garment
    other: Garment
    surroundings: Surroundings | None = None
    blots: Tensor | None = None
    hems: Tensor | None = None
    fake: Fake | None = None


def stack(items: Sequence[T]) -> T:
    """Stack equal dataclasses of tensors into one whose tensors have a leading batch dimension."""
    first: Any = items[0]
    if first is None:
        return cast(T, None)
    if isinstance(first, Tensor):
        return cast(T, torch.stack(cast(list[Tensor], list(items))))
    parts = {f.name: stack([getattr(item, f.name) for item in items]) for f in fields(first)}
    return cast(T, type(first)(**parts))


def move(item: T, device: torch.device | str) -> T:
    """Move every tensor of a dataclass to a device."""
    return convert(item, lambda tensor: tensor.to(device, non_blocking=True))


def convert(item: T, conversion: Callable[[Tensor], Tensor]) -> T:
    """Convert every tensor of a dataclass, or of a tuple of them."""
    value: Any = item
    if value is None:
        return cast(T, None)
    if isinstance(value, Tensor):
        return cast(T, conversion(value))
    if isinstance(value, tuple):
        return cast(T, tuple(convert(part, conversion) for part in value))
    parts = {f.name: convert(getattr(value, f.name), conversion) for f in fields(value)}
    return cast(T, type(value)(**parts))


def tensors_of(item: Any) -> list[Tensor]:
    """Every tensor of a dataclass, or of a tuple of them, always in the same order."""
    if item is None:
        return []
    if isinstance(item, Tensor):
        return [item]
    parts = item if isinstance(item, tuple) else [getattr(item, f.name) for f in fields(item)]
    return [tensor for part in parts for tensor in tensors_of(part)]
