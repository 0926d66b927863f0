"""Loss of the generators."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from tryon.losses.perceptual import PerceptualLoss

L1_WEIGHT = 5.0
PERCEPTUAL_WEIGHT = 1.0
MASK_WEIGHT = 1.0

SkinHalf = Literal["first", "second"]
SKIN_WEIGHTS: dict[SkinHalf, tuple[float, float]] = {"first": (30.0, 2.0), "second": (60.0, 4.0)}
"""(L1, perceptual) of the skin term in each half of the student's training."""


def skin_region(tutor_warped_mask: Tensor, garment_region: Tensor) -> Tensor:
    """What the tutor's fake image may have covered or uncovered: its warped mask outside the photo's garment.

    All N x 1 x H x W in [0, 1].
    """
    return tutor_warped_mask * (1 - garment_region)


def generator_loss(
    try_on: Tensor,
    rendered: Tensor,
    mask: Tensor,
    target: Tensor,
    perceptual: PerceptualLoss,
    skin: Tensor | None = None,
    half: SkinHalf = "first",
) -> dict[str, Tensor]:
    """The weighted terms of the generator's loss, by name; their sum is the loss.

    `try_on`, `rendered` and `target` (the photo) are N x 3 x H x W in [-1, 1]; `mask` is the m of the composition,
    N x 1 x H x W, which is pulled towards 1. `skin`, the student's alone, is the `skin_region` in which the rendered
    image is held to the photo once more, by the weights of the training's `half`.
    """
    of_try_on, of_rendered = perceptual.distances(target, try_on, rendered)
    terms = {
        "l1": L1_WEIGHT * F.l1_loss(try_on, target),
        "perceptual": PERCEPTUAL_WEIGHT * of_try_on,
        "rendered_l1": L1_WEIGHT * F.l1_loss(rendered, target),
        "rendered_perceptual": PERCEPTUAL_WEIGHT * of_rendered,
        "mask": MASK_WEIGHT * (1 - mask).abs().mean(),
    }
    if skin is not None:
        l1_weight, perceptual_weight = SKIN_WEIGHTS[half]
        terms["skin_l1"] = l1_weight * F.l1_loss(rendered * skin, target * skin)
        terms["skin_perceptual"] = perceptual_weight * perceptual(rendered * skin, target * skin)
    return terms
