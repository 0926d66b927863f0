"""Mutants of the training stages, of the models that they train, and of the engine."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BASE = "tryon/stages/base.py"
STUDENT = "tryon/stages/student.py"
TUTOR = "tryon/stages/tutor.py"
MODELS = "tryon/models.py"
LOOP = "tryon/engine/loop.py"
TRAINING = "tests/tryon/test_training.py tests/tryon/test_stages.py"

MUTANTS = (
    Mutant(BASE, "FINE_TUNED_WARP_RATE = 0.2", "FINE_TUNED_WARP_RATE = 0.5", TRAINING),
    Mutant(
        BASE,
        "return person.photo * person.regions.garment, person.regions.garment",
        "return person.photo, person.regions.garment",
        TRAINING,
    ),
    Mutant(
        BASE,
        "return warp_loss(warped.flow, garment.image, garment.mask, target, region, perceptual)",
        "return warp_loss(warped.flow, garment.image, garment.mask, person.photo, region, perceptual)",
        TRAINING,
    ),
    Mutant(BASE, 'f"{prefix}_{name}": factor * term', 'f"{prefix}_{name}": term', TRAINING),
    Mutant(
        BASE,
        "if record.label_scheme != recipe.label_scheme:",
        "if record.label_scheme < recipe.label_scheme:",
        TRAINING,
    ),
    Mutant(TUTOR, "WARP_LOSS_SHARE = 0.5", "WARP_LOSS_SHARE = 0.25", TRAINING),
    Mutant(
        TUTOR,
        "result = self.model(person, garment, region=target_garment(person)[1])",
        "result = self.model(person, garment)",
        TRAINING,
    ),
    Mutant(STUDENT, "WARP_LOSS_SHARE = 0.25", "WARP_LOSS_SHARE = 0.5", TRAINING),
    Mutant(
        STUDENT,
        "self.tutor.warp_garment(features, sample.other)",
        "self.tutor.warp_garment(features, sample.garment)",
        TRAINING,
    ),
    Mutant(STUDENT, ".eval().requires_grad_(False)", ".requires_grad_(False)", TRAINING),
    Mutant(
        STUDENT,
        "better_tutor_weights(knowledge.warped.garment, warped.garment, target)",
        "better_tutor_weights(warped.garment, knowledge.warped.garment, target)",
        TRAINING,
    ),
    Mutant(
        STUDENT, "part.train(second_half).requires_grad_(second_half)", "part.requires_grad_(second_half)", TRAINING
    ),
    Mutant(
        STUDENT,
        "result = self.model(knowledge.person, sample.garment, region=region)",
        "result = self.model(knowledge.person, sample.garment)",
        TRAINING,
    ),
    Mutant(
        STUDENT,
        "skin=skin_region(knowledge.fake_mask, region)",
        "skin=skin_region(result.warped.mask, region)",
        TRAINING,
    ),
    Mutant(STUDENT, 'half="second" if second_half else "first"', 'half="first"', TRAINING),
    Mutant(
        STUDENT,
        "            sample.person.photo,\n            self.perceptual",
        "            knowledge.person.photo,\n            self.perceptual",
        TRAINING,
    ),
    Mutant(MODELS, 'flow.warp(garment.mask, padding_mode="zeros")', "flow.warp(garment.mask)", TRAINING),
    Mutant(
        MODELS,
        "compose(warped.garment, warped.mask, rendered, mask, region)",
        "compose(warped.garment, warped.mask, rendered, mask)",
        TRAINING,
    ),
    Mutant(LOOP, 'group["lr"] = rate * factor', 'group["lr"] = rate', TRAINING),
    Mutant(LOOP, "if self.step == half:", "if self.step == half + 1:", TRAINING),
    Mutant(LOOP, "self.optimiser.load_state_dict(checkpoint.optimiser)", "self.optimiser.state_dict()", TRAINING),
    Mutant(LOOP, "ADAM_BETAS = (0.5, 0.999)", "ADAM_BETAS = (0.9, 0.999)", TRAINING),
)
