"""The training losses: warping, generation, perception and distillation. Images are in [-1, 1], masks in [0, 1]."""

from tryon.losses.distillation import (
    DISTILLATION_TERMS,
    better_tutor_weights,
    distillation_loss,
    feature_distillation,
    flow_distillation,
)
from tryon.losses.generation import generator_loss, skin_region
from tryon.losses.perceptual import PerceptualLoss
from tryon.losses.warping import second_order_smoothness, total_variation, warp_loss

__all__ = [
    "DISTILLATION_TERMS",
    "PerceptualLoss",
    "better_tutor_weights",
    "distillation_loss",
    "feature_distillation",
    "flow_distillation",
    "generator_loss",
    "second_order_smoothness",
    "skin_region",
    "total_variation",
    "warp_loss",
]
