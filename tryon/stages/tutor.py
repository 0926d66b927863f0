"""Stages 1 and 2: the parser-based tutor learns to warp, then to render."""

from __future__ import annotations

from tryon.data.sample import Sample
from tryon.losses import PerceptualLoss, generator_loss
from tryon.models import Tutor
from tryon.stages.base import Recipe, Stage, StepResult, load_earlier, scaled, target_garment, warp_terms

WARP_LOSS_SHARE = 0.5


class TutorWarp(Stage):
    """Stage 1: the tutor's warp network, from scratch, on people and the garments they wear."""

    name = "tutor-warp"
    epochs = 100
    learning_rate = 5e-5

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.model = Tutor(width=recipe.width, densepose=recipe.densepose, generator=False)

    def step(self, sample: Sample, second_half: bool) -> StepResult:
        """Warp losses."""
        warped = self.model.warp_garment(self.model.condition_features(sample.person), sample.garment)
        pictures = {"target": target_garment(sample.person)[0], "warped": warped.garment}
        losses = warp_terms(warped, sample.garment, sample.person, self.perceptual)
        return StepResult(scaled(losses, 1, "warp"), pictures)


class TutorStage(Stage):
    """Stage 2: the tutor's generator, and its warp network at a fifth of the learning rate."""

    name = "tutor"
    epochs = 100
    learning_rate = 5e-5

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__(recipe, perceptual)
        self.model = Tutor(
            width=recipe.width,
            densepose=recipe.densepose,
            generator=True,
            copy_mask=recipe.copy_mask,
            keep_background=recipe.keep_background,
        )
        self.model.warp.load_state_dict(load_earlier(recipe, TutorWarp.name).warp.state_dict())

    def step(self, sample: Sample, second_half: bool) -> StepResult:
        """Warp losses and generator losses."""
        person, garment = sample.person, sample.garment
        result = self.model(person, garment, region=target_garment(person)[1])
        losses = scaled(warp_terms(result.warped, garment, person, self.perceptual), WARP_LOSS_SHARE, "warp")
        rendering = generator_loss(result.image, result.rendered, result.composition, person.photo, self.perceptual)
        losses |= scaled(rendering, 1, "generator")
        return StepResult(losses, {"warped": result.warped.garment, "try-on": result.image})
