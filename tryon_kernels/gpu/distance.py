"""`feature_distance` on a GPU, and its gradients: numbers in the order in which they lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels.checks import check_distance_gradients, check_feature_distance
from tryon_kernels.eager import position_dtype
from tryon_kernels.gpu.kernels import DISTANCES, Kernels
from tryon_kernels.ops.library import new_gradient


def feature_distance(kernels: Kernels, features: Tensor, target: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
    """See `tryon_kernels.eager`. Sums of a few numbers each are added up by torch: the same bits each time."""
    check_feature_distance(features, target)
    features, count, wide = _dense(features), features.numel(), position_dtype(features)
    activated = new_gradient(features, relu)
    sums = features.new_empty(-(-count // DISTANCES), dtype=wide)
    if count > 0:
        kernels.measure(features, _laid_as(features, target), activated if relu else None, sums)
    return activated, (sums.sum(dtype=torch.float64) / count).to(wide)


def feature_distance_backward(
    kernels: Kernels, grad_activated: Tensor | None, grad_distance: Tensor | None, activated: Tensor, target: Tensor,
    relu: bool, features_needed: bool, target_needed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of features and target."""
    check_distance_gradients(grad_activated, grad_distance, activated, target)
    activated = _dense(activated)
    gradients = new_gradient(activated, features_needed), new_gradient(activated, target_needed)
    if activated.numel() > 0:
        kernels.differentiate_distance(
            None if grad_activated is None else _laid_as(activated, grad_activated), grad_distance, activated,
            target if grad_distance is None else _laid_as(activated, target), relu,
            *(gradient if gradient.numel() > 0 else None for gradient in gradients),
        )  # fmt: skip
    return gradients


def _dense(tensor: Tensor) -> Tensor:
    """The same numbers, one after the other in memory."""
    return tensor if torch.empty_like(tensor, device="meta").stride() == tensor.stride() else tensor.clone()


def _laid_as(like: Tensor, tensor: Tensor) -> Tensor:
    """The same numbers in the order of a dense tensor."""
    return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)
