"""Stages 3 and 4: the parser-free student learns from the tutor's fake images, its flows, and the real photos.

That is the published guidance; `GUIDANCE` has others to compare it with.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from tryon.data.condition import known_background
from tryon.data.sample import Garment, Person, Sample
from tryon.losses import (
    PerceptualLoss,
    better_tutor_weights,
    distillation_loss,
    generator_loss,
    skin_region,
    warp_loss,
)
from tryon.models import Student, TryOnModel, TryOnResult, Warped
from tryon.networks import WarpNetwork
from tryon.networks.frozen import freeze
from tryon.stages.base import Recipe, Stage, StepResult, load_earlier, scaled, target_garment
from tryon.stages.guidance import GUIDANCE
from tryon.stages.tutor import TutorStage

WARP_LOSS_SHARE = 0.25

T = TypeVar("T")


@dataclass(frozen=True)
class TutorKnowledge:
    """What the student learns from, of a batch, once the frozen tutor has dressed its people.

    Attributes:
        person: what the student sees, a photo and nothing else: the tutor's fake image, in the other garment.
        worn_mask: N x 1 x H x W where that shows a garment: the warped mask of the other one.
        garment: what the student is to put on: the person's own.
        target: N x 3 x H x W what the student is to render: the real photo.
        target_garment: N x 3 x H x W the target's garment, masked by its region.
        region: N x 1 x H x W garment region of the target.
        warped: the tutor's warp of the garment.

    A student that imitates sees the real photo instead, and what it is to render is the fake image.
    """

    person: Person
    worn_mask: Tensor
    garment: Garment
    target: Tensor
    target_garment: Tensor
    region: Tensor
    warped: Warped


class DistilledStage(Stage):
    """A student stage: holds the frozen tutor and what both stages take from it."""

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.guidance = GUIDANCE[recipe.guidance]
        self.tutor: TryOnModel = load_earlier(recipe, TutorStage.name).eval().requires_grad_(False)

    def freeze(self, dtype: torch.dtype | None) -> None:
        """The tutor too."""
        super().freeze(dtype)
        freeze(self.tutor, dtype)

    @torch.no_grad()
    def tutor_knowledge(self, sample: Sample) -> TutorKnowledge:
        """Dress the people in the other garments, and warp what the student is to put on as the tutor does."""
        features = self.tutor.condition_features(sample.person)
        # As one batch, in half as many calls, which is much of what small networks take.
        both = self.tutor.warp_garment(tuple(torch.cat((level, level)) for level in features), _both(sample))
        people = len(sample.person.photo)
        fake = self.tutor.render(sample.person, _rows(both, slice(people)))
        own = _rows(both, slice(people, None))
        fake_image, photo = _surrounded(sample, fake)
        worn, region = target_garment(sample.person)
        if self.guidance.imitates:
            mask = fake.warped.mask
            return TutorKnowledge(_seen(photo), region, sample.other, fake_image, fake.image * mask, mask, fake.warped)
        return TutorKnowledge(_seen(fake_image), fake.warped.mask, sample.garment, photo, worn, region, own)

    def warp_losses(self, warped: Warped, knowledge: TutorKnowledge) -> dict[str, Tensor]:
        """Warp losses against the target, and distillation where the tutor is nearer to it than the student."""
        garment, target = knowledge.garment, knowledge.target_garment
        losses = warp_loss(warped.flow, garment.image, garment.mask, target, knowledge.region, self.perceptual)
        weights = better_tutor_weights(knowledge.warped.garment, warped.garment, target)
        if not self.guidance.adjusted:
            weights = torch.ones_like(weights)
        distilled = distillation_loss(warped.flow, knowledge.warped.flow, weights, self.guidance.distilled)
        return losses | scaled(distilled, 1, "distilled")


def _seen(photo: Tensor) -> Person:
    """All that a student is told of people."""
    return Person(photo, None, None, None)


def _both(sample: Sample) -> Garment:
    """The other garments, then the people's own."""
    other, own = sample.other, sample.garment
    return Garment(torch.cat((other.image, own.image)), torch.cat((other.mask, own.mask)))


def _rows(item: T, chosen: slice) -> T:
    """Some samples of a batch, which is a dataclass, or a tuple of them, of tensors."""
    value: Any = item
    if isinstance(value, Tensor):
        return cast(T, value[chosen])
    if isinstance(value, tuple):
        return cast(T, tuple(_rows(part, chosen) for part in value))
    return cast(T, type(value)(**{field.name: _rows(getattr(value, field.name), chosen) for field in fields(value)}))


def _surrounded(sample: Sample, fake: TryOnResult) -> tuple[Tensor, Tensor]:
    """The fake image and the photo, in the same surroundings where the sample has any."""
    photo, surroundings = sample.person.photo, sample.surroundings
    if surroundings is None:
        return fake.image, photo
    background = known_background(sample.person)
    seen = surroundings.around(fake.image, photo, background * (1 - fake.warped.mask))
    return seen, surroundings.around(photo, photo, background)


class StudentWarp(DistilledStage):
    """Stage 3: the student's warp network, which starts from the tutor's.

    In the first half only the condition encoder and pyramid and the refinement convolutions learn.
    """

    name = "student-warp"
    epochs = 200
    learning_rate = 3e-5

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.model = Student(width=recipe.width, generator=False)
        for part, tutors in zip(_shared_parts(self.model.warp), _shared_parts(self.tutor.warp), strict=True):
            part.load_state_dict(tutors.state_dict())

    def start_half(self, second_half: bool) -> None:
        """In the first half what came from the tutor does not learn; its batch norms go on taking statistics."""
        self.model.train()
        for part in _shared_parts(self.model.warp):
            part.requires_grad_(second_half)

    def step(self, sample: Sample, second_half: bool) -> StepResult:
        """Warp losses and distillation."""
        knowledge = self.tutor_knowledge(sample)
        warped = self.model.warp_garment(self.model.condition_features(knowledge.person), knowledge.garment)
        losses = scaled(self.warp_losses(warped, knowledge), 1, "warp")
        return StepResult(losses, {"seen": knowledge.person.photo, "warped": warped.garment})


def _shared_parts(warp: WarpNetwork) -> tuple[nn.Module, ...]:
    """What means the same to tutor and student: the garment's features and the correlation's offsets."""
    return warp.garment_encoder, warp.garment_pyramid, warp.flow.correlation


class StudentStage(DistilledStage):
    """Stage 4: the student's generator, and its warp network at a fifth of the learning rate."""

    name = "student"
    epochs = 100
    learning_rate = 5e-5

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.model = Student(width=recipe.width, generator=True, copy_mask=recipe.copy_mask)
        self.model.warp.load_state_dict(load_earlier(recipe, StudentWarp.name).warp.state_dict())

    def step(self, sample: Sample, second_half: bool) -> StepResult:
        """Warp losses and distillation, generator losses and the skin that the real garment uncovers."""
        knowledge = self.tutor_knowledge(sample)
        region = knowledge.region
        result = self.model(knowledge.person, knowledge.garment, region=region)
        losses = scaled(self.warp_losses(result.warped, knowledge), WARP_LOSS_SHARE, "warp")
        rendering = generator_loss(
            result.image,
            result.rendered,
            result.composition,
            knowledge.target,
            self.perceptual,
            skin=skin_region(knowledge.worn_mask, region),
            half="second" if second_half else "first",
        )
        losses |= scaled(rendering, 1, "generator")
        pictures = {
            "seen": knowledge.person.photo,
            "target": knowledge.target,
            "warped": result.warped.garment,
            "try-on": result.image,
        }
        return StepResult(losses, pictures)
