"""Loss of the warping networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tryon.losses.perceptual import PerceptualLoss
from tryon.losses.recomputed import recomputed
from tryon.networks import AppearanceFlow
from tryon.networks.blocks import pad_to
from tryon.networks.flow import sample

# Of level k, counted from the coarsest, each weight is multiplied by k + 1.
L1_WEIGHT = 1.0
PERCEPTUAL_WEIGHT = 0.2
MASK_WEIGHT = 2.0
SMOOTHNESS_WEIGHT = 6.0
VARIATION_WEIGHT = 0.01  # the same at every level

SMOOTHNESS_EPSILON = 0.001
SMOOTHNESS_EXPONENT = 0.45
STENCIL_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (dy, dx): along row, column and both diagonals


def second_order_smoothness(sampling_map: Tensor) -> Tensor:
    """How much a sampling map N x 2 x H x W bends: 0-d.

    With d = S(p - e) - 2 S(p) + S(p + e) for each of four directions e, at every p whose 3 x 3 neighbourhood is inside:
    the mean of (d^2 + 0.001^2)^0.45, x and y added. Where no p is inside (a side below 3) there is nothing to bend: 0.
    """
    height, width = sampling_map.shape[-2:]
    if min(height, width) < 3:
        return sampling_map.new_zeros(())
    inner = sampling_map[:, :, 1:-1, 1:-1]

    def shifted(dy: int, dx: int) -> Tensor:
        return sampling_map[:, :, 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]

    bends = [shifted(-dy, -dx) - 2 * inner + shifted(dy, dx) for dy, dx in STENCIL_DIRECTIONS]
    penalty = (torch.stack(bends).square() + SMOOTHNESS_EPSILON**2).pow(SMOOTHNESS_EXPONENT)
    return sampling_map.shape[1] * penalty.mean()


def total_variation(offset: Tensor) -> Tensor:
    """Mean absolute difference of vertical neighbours plus that of horizontal ones, N x C x H x W to 0-d.

    A side of one pixel has no neighbours and adds 0.
    """
    differences = (offset.diff(dim=2), offset.diff(dim=3))
    return sum((d.abs().mean() for d in differences if d.numel()), start=offset.new_zeros(()))


def warp_loss(
    flow: AppearanceFlow,
    garment: Tensor,
    garment_mask: Tensor,
    target_garment: Tensor,
    target_mask: Tensor,
    perceptual: PerceptualLoss,
) -> dict[str, Tensor]:
    """The weighted terms of the warping loss, by name; their sum is the loss.

    `garment` N x 3 x H x W and `garment_mask` N x 1 x H x W are what is warped, at every level; `target_garment` and
    `target_mask` are the garment's region of the photo. Pictures are padded as the network pads them and resized to
    each level (bilinear, align_corners=False). The garment is warped with border padding, the mask with zeros.
    """
    height, width = flow.levels[-1].sampling_map.shape[-2:]
    padded = [pad_to(image, (height, width)) for image in (garment, garment_mask, target_garment, target_mask)]
    terms = dict.fromkeys(("l1", "perceptual", "mask", "smoothness", "variation"), garment.new_zeros(()))
    for k, level in enumerate(flow.levels):
        sampling_map = level.sampling_map
        image, mask, target, region = (_resized(picture, sampling_map.shape[-2:]) for picture in padded)
        warped = sample(image, sampling_map, "border")
        warped_mask = sample(mask, sampling_map, "zeros")
        level_terms = {
            "l1": L1_WEIGHT * (k + 1) * F.l1_loss(warped, target),
            "perceptual": PERCEPTUAL_WEIGHT * (k + 1) * perceptual(warped, target),
            "mask": MASK_WEIGHT * (k + 1) * F.l1_loss(warped_mask, region),
            "smoothness": SMOOTHNESS_WEIGHT * (k + 1) * recomputed(second_order_smoothness, sampling_map),
            "variation": VARIATION_WEIGHT * sum(total_variation(offset) for offset in level.offsets),
        }
        terms = {name: terms[name] + level_terms[name] for name in terms}
    return terms


def _resized(picture: Tensor, size: torch.Size) -> Tensor:
    return (
        picture
        if picture.shape[-2:] == size
        else F.interpolate(picture, size=size, mode="bilinear", align_corners=False)
    )
