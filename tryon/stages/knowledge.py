"""What a student learns from: a frozen tutor that dresses its people, or fake pictures of any other system."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from tryon.data.composite import composited
from tryon.data.condition import known_background
from tryon.data.hems import moved_hems
from tryon.data.sample import Fake, Garment, Person, Sample
from tryon.models import TryOnModel, Warped
from tryon.networks.flow import flow_of_positions
from tryon.stages.base import target_garment

CHANGE = 0.5  # of the range from -1 to 1: more than files' losses and most shadows, less than skin from most cloth

T = TypeVar("T")


@dataclass(frozen=True)
class TutorKnowledge:
    """What the student learns from, of a batch.

    Attributes:
        person: what the student sees, a photo and nothing else: the fake image, in the other garment.
        worn_mask: N x 1 x H x W where that may show a garment: the warped mask of the other one.
        garment: what the student is to put on: the person's own.
        target: N x 3 x H x W what the student is to render: the real photo.
        target_garment: N x 3 x H x W the target's garment, masked by its region.
        region: N x 1 x H x W garment region of the target.
        warped: the tutor's warp of the garment; None where there is none.

    A student that imitates sees the real photo instead, and what it is to render is the fake image.
    """

    person: Person
    worn_mask: Tensor
    garment: Garment
    target: Tensor
    target_garment: Tensor
    region: Tensor
    warped: Warped | None


def knowledge_of_tutor(tutor: TryOnModel, sample: Sample, imitates: bool) -> TutorKnowledge:
    """Dress the people in the other garments, and warp what the student is to put on as the tutor does."""
    features = tutor.condition_features(sample.person)
    # As one batch, in half as many calls, which is much of what small networks take.
    both = tutor.warp_garment(tuple(torch.cat((level, level)) for level in features), _both(sample))
    people = len(sample.person.photo)
    fake = tutor.render(sample.person, _rows(both, slice(people)))
    own = _rows(both, slice(people, None))
    mask = fake.warped.mask
    worn, region = target_garment(sample.person)
    if imitates:
        fake_image, photo = _surrounded(sample, fake.image, mask)
        return TutorKnowledge(_seen(photo), region, sample.other, fake_image, fake.image * mask, mask, fake.warped)
    fake_image, mask = _varied(sample, fake.image, mask)
    fake_image, photo = _surrounded(sample, fake_image, mask)
    return TutorKnowledge(_seen(fake_image), mask, sample.garment, photo, worn, region, own)


def knowledge_of_fake(sample: Sample, fake: Fake) -> TutorKnowledge:
    """What fake pictures tell. Without masks, another garment may be wherever a picture differs from the photo."""
    worn, region = target_garment(sample.person)
    mask = _changed(fake.image, sample.person.photo) if fake.mask is None else fake.mask
    fake_image, mask = _varied(sample, fake.image, mask)
    fake_image, photo = _surrounded(sample, fake_image, mask)
    warped = None if fake.flow is None else _warped_by(fake.flow, sample.garment)
    return TutorKnowledge(_seen(fake_image), mask, sample.garment, photo, worn, region, warped)


def _changed(fake_image: Tensor, photo: Tensor) -> Tensor:
    """Where two batches of images differ by more than `CHANGE` in some channel: N x 1 x H x W, 0 or 1."""
    return ((fake_image - photo).abs().amax(dim=1, keepdim=True) > CHANGE).to(photo.dtype)


def _warped_by(positions: Tensor, garment: Garment) -> Warped:
    """Garments warped by a flow from elsewhere: 0, as around a garment, where it is not known."""
    flow = flow_of_positions(positions)
    known = positions.isfinite().all(dim=1, keepdim=True)
    image, mask = flow.warp(garment.image), flow.warp(garment.mask, padding_mode="zeros")
    return Warped(flow, torch.where(known, image, 0), torch.where(known, mask, 0))


def _seen(photo: Tensor) -> Person:
    """All that a student is told of people."""
    return Person(photo, None, None, None)


def _both(sample: Sample) -> Garment:
    """The other garments, then the people's own."""
    other, own = sample.other, sample.garment
    return Garment(torch.cat((other.image, own.image)), torch.cat((other.mask, own.mask)))


def _rows(item: T, chosen: slice) -> T:
    """Some samples of a batch, which is a dataclass, or a tuple of them, of tensors.

    Copies, so that the rest of the batch is not kept with them through the step.
    """
    value: Any = item
    if isinstance(value, Tensor):
        return cast(T, value[chosen].clone())
    if isinstance(value, tuple):
        return cast(T, tuple(_rows(part, chosen) for part in value))
    return cast(T, type(value)(**{field.name: _rows(getattr(value, field.name), chosen) for field in fields(value)}))


def _varied(sample: Sample, fake_image: Tensor, worn_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The fake image and where it shows a garment: with blots of the photo and other hems, if the sample has any."""
    if sample.blots is not None:
        fake_image = composited(fake_image, worn_mask, sample.person, sample.blots)
    if sample.hems is None:
        return fake_image, worn_mask
    assert sample.person.regions is not None  # the target's are of the same
    return moved_hems(fake_image, worn_mask, sample.person.regions, sample.hems)


def _surrounded(sample: Sample, fake_image: Tensor, worn_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The fake image and the photo, in the same surroundings where the sample has any."""
    photo, surroundings = sample.person.photo, sample.surroundings
    if surroundings is None:
        return fake_image, photo
    background = known_background(sample.person)
    seen = surroundings.around(fake_image, photo, background * (1 - worn_mask))
    return seen, surroundings.around(photo, photo, background)
