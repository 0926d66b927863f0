"""Adjustable distillation: the student copies the tutor only where the tutor does better."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tryon.distributed import processes, summed
from tryon.networks import AppearanceFlow
from tryon.networks.blocks import at_least_float32

FEATURE_WEIGHT = 0.04
FIRST_FLOW_LEVEL = 2  # the two coarsest levels' flows are left to the student


def better_tutor_weights(tutor_warped: Tensor, student_warped: Tensor, target: Tensor) -> Tensor:
    """1 for each sample whose garment the tutor warps closer (mean L1) to the photo's than the student does, else 0.

    All N x 3 x H x W, the target being the garment's region of the photo; N float32, without gradient.
    """
    with torch.no_grad():
        tutor_error = (tutor_warped - target).abs().flatten(1).mean(dim=1)
        student_error = (student_warped - target).abs().flatten(1).mean(dim=1)
        return (tutor_error < student_error).float()


def feature_distillation(student: AppearanceFlow, tutor: AppearanceFlow, weights: Tensor) -> Tensor:
    """Mean squared difference of the condition features, level k of K by 0.04 (K - k), over the weighted samples."""
    levels = len(student.levels)
    terms = []
    for k, (own, other) in enumerate(zip(student.levels, tutor.levels, strict=True)):
        difference = at_least_float32(own.condition_features) - at_least_float32(other.condition_features.detach())
        terms.append(FEATURE_WEIGHT * (levels - k) * _weighted_mean(difference.square(), weights))
    return torch.stack(terms).sum()


def flow_distillation(student: AppearanceFlow, tutor: AppearanceFlow, weights: Tensor) -> Tensor:
    """Mean Euclidean distance of the sampling maps, level k >= 2 by k + 1, over the weighted samples."""
    terms = []
    for k, (own, other) in enumerate(zip(student.levels, tutor.levels, strict=True)):
        if k >= FIRST_FLOW_LEVEL:
            difference = own.sampling_map - other.sampling_map.detach()
            # A norm over numbers that lie apart is twelve times slower.
            distance = torch.linalg.vector_norm(difference.contiguous(memory_format=torch.channels_last), dim=1)
            terms.append((k + 1) * _weighted_mean(distance, weights))
    return torch.stack(terms).sum()


_TERMS = {"features": feature_distillation, "flow": flow_distillation}
DISTILLATION_TERMS = tuple(_TERMS)


def distillation_loss(
    student: AppearanceFlow, tutor: AppearanceFlow, weights: Tensor, terms: Iterable[str] = DISTILLATION_TERMS
) -> dict[str, Tensor]:
    """The terms by name, weighted; their sum is the loss. `weights` (N) are those of `better_tutor_weights`, or 1."""
    return {name: _TERMS[name](student, tutor, weights) for name in terms}


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over everything but the batch, then over the samples of weight 1; 0 where there are none.

    Of several processes' batches this is each one's part: the mean of the parts is that of the joint batch.
    """
    ones = summed(weights.sum()).clamp(min=1) / processes()
    # A sum, since the gradient of a mean, and a flattened tensor, lay channels_last anew.
    sums = values.sum(dim=tuple(range(1, values.dim())))
    return (sums * weights).sum() / (values[0].numel() * ones)
