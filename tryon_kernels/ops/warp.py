"""The ops `warp` and `warp_backward`: schema, shapes, autograd and autocast."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels import eager
from tryon_kernels.checks import check_warp
from tryon_kernels.ops.gradients import differentiable
from tryon_kernels.ops.library import (
    as_positions,
    library,
    new_gradient,
    new_output,
    register_autocast,
)

library.define("warp(Tensor input, Tensor flow, str padding_mode) -> Tensor")
library.define(
    "warp_backward(Tensor grad_output, Tensor input, Tensor flow, str padding_mode,"
    " bool input_needed, bool flow_needed) -> (Tensor, Tensor)"
)


@torch.library.register_fake("tryon_kernels::warp", lib=library)
def _(input: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    check_warp(input, flow, padding_mode)
    return new_output(input, (*input.shape[:2], *flow.shape[2:]))


@torch.library.register_fake("tryon_kernels::warp_backward", lib=library)
def _(
    grad_output: Tensor, input: Tensor, flow: Tensor, padding_mode: str, input_needed: bool, flow_needed: bool
) -> tuple[Tensor, Tensor]:
    check_warp(input, flow, padding_mode)
    return new_gradient(input, input_needed), new_gradient(flow, flow_needed)


operation = differentiable("warp", eager.warp, tensors=2)
register_autocast("warp", lambda input, flow, *options: (input, as_positions(flow), *options))
