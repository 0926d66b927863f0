"""The ops `feature_distance` and `feature_distance_backward`: schema, shapes, autograd and autocast.

No output of an op may be one of its inputs: without ReLU a tensor without elements stands in the place of `activated`,
and for the gradients the features do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tryon_kernels import eager, pins, private
from tryon_kernels.checks import check_distance_gradients, check_feature_distance
from tryon_kernels.eager import passed_by_relu, position_dtype
from tryon_kernels.ops.gradients import Operation, called_by
from tryon_kernels.ops.library import library, new_gradient, register_autocast

library.define("feature_distance(Tensor features, Tensor target, bool relu) -> (Tensor activated, Tensor distance)")
# Of the outputs' gradients those that there are. Both gradients have the layout of `activated`.
library.define(
    "feature_distance_backward(Tensor? grad_activated, Tensor? grad_distance, Tensor activated, Tensor target,"
    " bool relu, bool features_needed, bool target_needed) -> (Tensor, Tensor)"
)


@torch.library.register_fake("tryon_kernels::feature_distance", lib=library)
def _(features: Tensor, target: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
    check_feature_distance(features, target)
    return new_gradient(features, relu), features.new_empty((), dtype=position_dtype(features))


@torch.library.register_fake("tryon_kernels::feature_distance_backward", lib=library)
def _(
    grad_activated: Tensor | None,
    grad_distance: Tensor | None,
    activated: Tensor,
    target: Tensor,
    relu: bool,
    features_needed: bool,
    target_needed: bool,
) -> tuple[Tensor, Tensor]:
    check_distance_gradients(grad_activated, grad_distance, activated, target)
    return new_gradient(activated, features_needed), new_gradient(activated, target_needed)


def _keep_for_second(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *cotangents, activated, target, ctx.relu, ctx.features_needed, ctx.target_needed = inputs
    ctx.given = [cotangent is not None for cotangent in cotangents]
    ctx.save_for_backward(activated, target)


def _second_gradients(ctx: Any, by_features: Tensor, by_target: Tensor) -> tuple[Tensor | None, ...]:
    """Those by the outputs' gradients: in features and target the first gradients are constant, from jump to jump."""
    activated, target = (tensor.detach() for tensor in ctx.saved_tensors)
    by_activated = passed_by_relu(by_features, activated, ctx.relu) if ctx.features_needed else None
    by_distance = None
    if ctx.given[1]:
        wide = position_dtype(activated)
        signs = (activated.to(wide) - target.to(wide)).sign_() / activated.numel()
        pull = 0 if by_activated is None else by_activated
        by_distance = (signs * (pull - by_target if ctx.target_needed else pull)).sum()
    return by_activated if ctx.given[0] else None, by_distance, None, None, None, None, None


_backward = Operation("feature_distance_backward", 4, _keep_for_second, _second_gradients)


def _keep_for_first(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    features, target, ctx.relu = inputs
    if not ctx.relu:
        ctx.mark_non_differentiable(output[0])
    ctx.save_for_backward(output[0] if ctx.relu else features, target)
    ctx.backend = pins.current()


def _first_gradients(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad[:2]
    arguments = (*cotangents, *ctx.saved_tensors, ctx.relu, *needed)
    if private.in_forward_mode(*(tensor for tensor in (*cotangents, *ctx.saved_tensors) if tensor is not None)):
        gradients = eager.feature_distance_backward(*arguments)
    else:
        gradients = called_by(ctx.backend, _backward, *arguments)
    return (*(g if wanted else None for g, wanted in zip(gradients, needed, strict=True)), None)


operation = Operation("feature_distance", 2, _keep_for_first, _first_gradients)
operation.backward = _backward
register_autocast("feature_distance", lambda features, target, relu: (features, target.to(features.dtype), relu))
