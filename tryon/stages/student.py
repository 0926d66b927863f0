"""Stages 3 and 4: the parser-free student learns from the tutor's fake images, its flows, and the real photos.

That is the published guidance; `GUIDANCE` has others to compare it with, and fake images may come from elsewhere.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import Tensor, nn

from tryon.data.sample import Sample
from tryon.losses import (
    PerceptualLoss,
    better_tutor_weights,
    distillation_loss,
    generator_loss,
    skin_region,
    warp_loss,
)
from tryon.models import Student, TryOnModel, Warped
from tryon.networks import WarpNetwork
from tryon.networks.frozen import freeze
from tryon.stages.base import Recipe, Stage, StepResult, load_earlier, scaled
from tryon.stages.guidance import GUIDANCE
from tryon.stages.knowledge import TutorKnowledge, knowledge_of_fake, knowledge_of_tutor
from tryon.stages.tutor import TutorStage

WARP_LOSS_SHARE = 0.25

_log = logging.getLogger(__name__)


class DistilledStage(Stage):
    """A student stage: what both take from the frozen tutor, or from the fake pictures in its place.

    Attributes:
        tutor: only there where no fake pictures are.
    """

    tutor: TryOnModel

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.guidance = GUIDANCE[recipe.guidance]
        if recipe.fakes is None:
            self.tutor = load_earlier(recipe, TutorStage.name).eval().requires_grad_(False)
        else:
            known = ("flow",) if recipe.fakes.has_flows else ()
            distilled = tuple(term for term in self.guidance.distilled if term in known)
            self.guidance = replace(self.guidance, distilled=distilled)

    def _starting_tutor(self) -> TryOnModel:
        """Whose weights the student may start from: with fake pictures it makes none, but has been trained."""
        return load_earlier(self.recipe, TutorStage.name) if self.recipe.fakes else self.tutor

    def freeze(self, dtype: torch.dtype | None) -> None:
        """The tutor too."""
        super().freeze(dtype)
        if self.recipe.fakes is None:
            freeze(self.tutor, dtype)

    @torch.no_grad()
    def tutor_knowledge(self, sample: Sample) -> TutorKnowledge:
        """What the student learns from."""
        if sample.fake is not None:
            return knowledge_of_fake(sample, sample.fake)
        return knowledge_of_tutor(self.tutor, sample, self.guidance.imitates)

    def warp_losses(self, warped: Warped, knowledge: TutorKnowledge) -> dict[str, Tensor]:
        """Warp losses against the target, and distillation where the tutor is nearer to it than the student."""
        garment, target, tutors = knowledge.garment, knowledge.target_garment, knowledge.warped
        losses = warp_loss(warped.flow, garment.image, garment.mask, target, knowledge.region, self.perceptual)
        if tutors is None or not self.guidance.distilled:
            return losses
        weights = better_tutor_weights(tutors.garment, warped.garment, target)
        if not self.guidance.adjusted:
            weights = torch.ones_like(weights)
        flow = tutors.flow if self.recipe.fakes is None else tutors.flow.filled(warped.flow)
        distilled = distillation_loss(warped.flow, flow, weights, self.guidance.distilled)
        return losses | scaled(distilled, 1, "distilled")


class StudentWarp(DistilledStage):
    """Stage 3: the student's warp network, which starts from the tutor's.

    In the first half only the condition encoder and pyramid and the refinement convolutions learn. A student of fake
    pictures that has no tutor starts from random weights, and all of it learns from the first step on.
    """

    name = "student-warp"
    epochs = 200
    learning_rate = 3e-5

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.model = Student(width=recipe.width, generator=False)
        if recipe.without_tutor:
            _log.info("%s: no tutor in %s, so its weights begin at random", self.name, recipe.init)
            return
        for part, tutors in zip(
            _shared_parts(self.model.warp), _shared_parts(self._starting_tutor().warp), strict=True
        ):
            part.load_state_dict(tutors.state_dict())

    def start_half(self, second_half: bool) -> None:
        """In the first half what came from the tutor does not learn; its batch norms go on taking statistics."""
        self.model.train()
        for part in _shared_parts(self.model.warp):
            part.requires_grad_(second_half or self.recipe.without_tutor)

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
    """Stage 4: the student's generator, and its warp network at a fifth of the learning rate.

    The generator starts from random weights, as published, or from the tutor's, with which it shares all inputs but
    the arms'.
    """

    name = "student"
    epochs = 100
    learning_rate = 5e-5

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.model = Student(width=recipe.width, generator=True, copy_mask=recipe.copy_mask)
        self.model.warp.load_state_dict(load_earlier(recipe, StudentWarp.name).warp.state_dict())
        if recipe.generator_from_tutor:
            tutor = self._starting_tutor()
            assert self.model.generator is not None  # both are of their second stage
            assert tutor.generator is not None
            self.model.generator.start_from(tutor.generator)

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
