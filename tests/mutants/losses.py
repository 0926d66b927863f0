"""Mutants of the training losses."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DISTILLATION = "tryon/losses/distillation.py"
GENERATION = "tryon/losses/generation.py"
PERCEPTUAL = "tryon/losses/perceptual.py"
WARPING = "tryon/losses/warping.py"
OF_DISTILLATION = "tests/tryon/losses/test_distillation.py"
OF_GENERATION = "tests/tryon/losses/test_generation.py"
OF_PERCEPTUAL = "tests/tryon/losses/test_perceptual.py"
OF_WARPING = "tests/tryon/losses/test_warping.py"

MUTANTS = (
    Mutant(
        DISTILLATION,
        "return (tutor_error < student_error).float()",
        "return (tutor_error <= student_error).float()",
        OF_DISTILLATION,
    ),
    Mutant(DISTILLATION, "for name in terms}", "for name in _TERMS}", "tests/tryon/test_guidance.py -k its_terms"),
    Mutant(DISTILLATION, ".mul_(2 * grad", ".mul_(grad", OF_DISTILLATION),
    Mutant(DISTILLATION, "terms.append((k + 1) * _weighted_mean(", "terms.append(_weighted_mean(", OF_DISTILLATION),
    Mutant(DISTILLATION, "FIRST_FLOW_LEVEL = 2", "FIRST_FLOW_LEVEL = 1", OF_DISTILLATION),
    Mutant(DISTILLATION, "summed(weights.sum()).clamp(min=1)", "len(weights)", OF_DISTILLATION),
    Mutant(
        DISTILLATION,
        "(tutor_warped - target).abs().flatten(1).mean(dim=1)",
        "(tutor_warped - target).square().flatten(1).mean(dim=1)",
        OF_DISTILLATION,
    ),
    Mutant(
        GENERATION,
        "return tutor_warped_mask * (1 - garment_region)",
        "return tutor_warped_mask * garment_region",
        OF_GENERATION,
    ),
    Mutant(GENERATION, "(1 - mask).abs().mean()", "mask.abs().mean()", OF_GENERATION),
    Mutant(
        GENERATION,
        "F.l1_loss(rendered * skin, target * skin)",
        "F.l1_loss(try_on * skin, target * skin)",
        OF_GENERATION,
    ),
    Mutant(
        PERCEPTUAL,
        "LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)",
        "LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)",
        OF_PERCEPTUAL,
    ),
    Mutant(PERCEPTUAL, "len(target_features[0]) / len(target)", "at_a_time / len(target)", OF_PERCEPTUAL),
    Mutant(
        PERCEPTUAL,
        "gradient * (grad / gradient.numel())",
        "gradient / gradient.numel()",
        OF_PERCEPTUAL,
    ),
    Mutant(
        PERCEPTUAL,
        "factor = image.numel()",
        "factor = 1.0",
        OF_PERCEPTUAL,
    ),
    Mutant(PERCEPTUAL, ".flip(2, 3)", "", OF_PERCEPTUAL),
    Mutant(PERCEPTUAL, "threshold_backward(grad, output, 0)", "threshold_backward(grad, output, -1)", OF_PERCEPTUAL),
    Mutant(
        PERCEPTUAL,
        "return min(POOL, height), min(POOL, width)",
        "return (min(POOL, height, width),) * 2",
        OF_PERCEPTUAL,
    ),
    Mutant(
        WARPING,
        "STENCIL_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))",
        "STENCIL_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, 1))",
        OF_WARPING,
    ),
    Mutant(WARPING, "return sampling_map.shape[1] * penalty.mean()", "return penalty.mean()", OF_WARPING),
    Mutant(
        WARPING,
        'warped_mask = sample(mask, sampling_map, "zeros")',
        'warped_mask = sample(mask, sampling_map, "border")',
        OF_WARPING,
    ),
    Mutant(
        WARPING,
        "PERCEPTUAL_WEIGHT * (k + 1) * perceptual(warped, target)",
        "PERCEPTUAL_WEIGHT * perceptual(warped, target)",
        OF_WARPING,
    ),
    Mutant(
        WARPING,
        "sum(total_variation(offset) for offset in level.offsets)",
        "total_variation(level.offsets[1])",
        OF_WARPING,
    ),
    Mutant(WARPING, 'mode="bilinear", align_corners=False)', 'mode="bilinear", align_corners=True)', OF_WARPING),
)
