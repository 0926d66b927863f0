"""Adjustable distillation: the student copies the tutor only where the tutor does better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tryon.distributed import processes, summed
from tryon.networks import AppearanceFlow

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
        features = own.condition_features
        squares = _SquaredDistances.apply(features, other.condition_features)
        terms.append(FEATURE_WEIGHT * (levels - k) * _weighted_mean(squares, features[0].numel(), weights))
    return torch.stack(terms).sum()


def flow_distillation(student: AppearanceFlow, tutor: AppearanceFlow, weights: Tensor) -> Tensor:
    """Mean Euclidean distance of the sampling maps, level k >= 2 by k + 1, over the weighted samples."""
    terms = []
    for k, (own, other) in enumerate(zip(student.levels, tutor.levels, strict=True)):
        if k >= FIRST_FLOW_LEVEL:
            difference = own.sampling_map - other.sampling_map.detach()
            # A norm over numbers that lie apart is twelve times slower.
            distance = torch.linalg.vector_norm(difference.contiguous(memory_format=torch.channels_last), dim=1)
            terms.append((k + 1) * _weighted_mean(_sums(distance), distance[0].numel(), weights))
    return torch.stack(terms).sum()


_TERMS = {"features": feature_distillation, "flow": flow_distillation}
DISTILLATION_TERMS = tuple(_TERMS)


def distillation_loss(
    student: AppearanceFlow, tutor: AppearanceFlow, weights: Tensor, terms: Iterable[str] = DISTILLATION_TERMS
) -> dict[str, Tensor]:
    """The terms by name, weighted; their sum is the loss. `weights` (N) are those of `better_tutor_weights`, or 1."""
    return {name: _TERMS[name](student, tutor, weights) for name in terms}


class _SquaredDistances(torch.autograd.Function):
    """Sums of squared differences, N x C x H x W twice to N; the gradient is the first one's.

    Written out, since these are a step's largest maps in float32: what is given is all that is kept, and either way has
    one map of that size, where torch's record has up to four.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, others: Tensor) -> Tensor:
        ctx.save_for_backward(features, others)
        return _sums(_difference(features, others).square_())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        features, others = ctx.saved_tensors
        return _difference(features, others).mul_(2 * grad.view(-1, 1, 1, 1)).to(features.dtype), None


def _difference(features: Tensor, others: Tensor) -> Tensor:
    """In float32 at least, in memory of its own."""
    wide = torch.promote_types(features.dtype, torch.float32)
    return features.to(wide, copy=True).sub_(others)


def _sums(values: Tensor) -> Tensor:
    """Of each sample. The gradient of a mean, and a flattened tensor, would lay channels_last anew."""
    return values.sum(dim=tuple(range(1, values.dim())))


def _weighted_mean(sums: Tensor, numbers: int, weights: Tensor) -> Tensor:
    """Mean over the numbers of a sample, then over the samples of weight 1; 0 where there are none.

    Of several processes' batches this is each one's part: the mean of the parts is that of the joint batch.
    """
    ones = summed(weights.sum()).clamp(min=1) / processes()
    return (sums * weights).sum() / (numbers * ones)
