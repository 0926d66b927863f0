"""The public operations: arguments are checked here, then the backend that serves them runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from tryon_kernels import eager, ops, pins, private, stock
from tryon_kernels.backends import backend_for, backend_when_traced
from tryon_kernels.checks import (
    check_correlation,
    check_feature_distance,
    check_grid_sample,
    check_reduction,
    check_warp,
    check_warp_correlation,
)
from tryon_kernels.ops.gradients import Operation
from tryon_kernels.ops.library import as_positions, autocasts, lowered_by_autocast

Output = TypeVar("Output", Tensor, tuple[Tensor, Tensor])


@dataclass(frozen=True)
class _Forms(Generic[Output]):
    """One operation in its three forms, of the same arguments."""

    name: str
    kernels: Operation
    stock: Callable[..., Output]
    formula: Callable[..., Output]

    def __call__(self, tensors: Sequence[Tensor], *options: Any) -> Output:
        """Call the form that serves now. What the arguments are has been checked."""
        if torch.compiler.is_compiling():
            return self._traced(backend_when_traced(tensors[0].device), tensors, options)
        backend = backend_for(self.name, tensors, options)
        transformed = private.in_function_transform()
        # Torch takes an op's forward-mode derivatives for zero, and cannot take those of `torch.func`.
        if private.in_forward_mode(*tensors) or (transformed and private.differentiated_by_function_transform()):
            return self.formula(*tensors, *options)
        if backend == "cpp":
            return self.kernels(*tensors, *options)
        if backend == "eager":
            return self.formula(*tensors, *options)
        if backend == "stock":
            return (self.formula if transformed else self.stock)(*tensors, *options)
        with pins.pinned(backend):
            return self.kernels(*tensors, *options)

    def _traced(self, backend: str, tensors: Sequence[Tensor], options: Sequence[Any]) -> Output:
        """What is traced of the kernels asks again which of them serves when it runs."""
        if backend == "eager":
            return self.formula(*tensors, *options)
        return (self.stock if backend == "stock" else self.kernels)(*tensors, *options)


_WARP = _Forms("warp", ops.warp.operation, stock.warp, eager.warp)
_GRID_SAMPLE = _Forms("grid_sample", ops.grid_sample.operation, stock.grid_sample, eager.grid_sample)
_CORRELATION = _Forms("correlation", ops.correlation.operation, stock.correlation, eager.correlation)
_WARP_CORRELATION = _Forms(
    "warp_correlation", ops.warp_correlation.operation, stock.warp_correlation, eager.warp_correlation
)
_FEATURE_DISTANCE = _Forms(
    "feature_distance", ops.feature_distance.operation, eager.feature_distance, eager.feature_distance
)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample an image at normalised positions, as `torch.nn.functional.grid_sample` does.

    Bilinear sampling of a 4-D input with zeros or border padding runs here; everything else that torch offers
    (nearest, bicubic, reflection, 5-D) is handed to torch, whichever backend is in use.

    Args:
        input: N x C x H x W, float16, bfloat16, float32 or float64, any strides.
        grid: N x Ho x Wo x 2, positions (x, y); -1 and 1 are the outer pixels' centres with `align_corners`, their
            outer edges without. float64 with float64 input; otherwise float32, or less, which is raised to float32
            before anything is computed. Any strides: a permuted N x 2 x Ho x Wo map is read in place.
        mode: "bilinear", or another that torch offers.
        padding_mode: "zeros", "border", or another that torch offers. What lies outside is 0, or the nearest pixel.
        align_corners: None means False, without torch's warning.

    Returns:
        N x C x Ho x Wo in the input's dtype and memory format. A position that is not a number counts as -infinity:
        it samples nothing (zeros) or the first column or row (border), and has no gradient.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size, device or mode does not fit.
    """
    if has_torch_function((input, grid)):
        return handle_torch_function(grid_sample, (input, grid), input, grid, mode, padding_mode, align_corners)
    align_corners = bool(align_corners)
    if mode != "bilinear" or padding_mode not in ("zeros", "border") or input.dim() == 5:
        return F.grid_sample(input, grid, mode, padding_mode, align_corners)
    grid = as_positions(grid)
    check_grid_sample(input, grid, padding_mode)
    return _GRID_SAMPLE((input, grid), padding_mode, align_corners)


def warp(input: Tensor, flow: Tensor, *, padding_mode: str = "border") -> Tensor:
    """Sample an image bilinearly where a flow points.

    output[n, c, y, x] = input[n, c, y + flow[n, 1, y, x], x + flow[n, 0, y, x]]. Warping a sampling map by an offset
    composes the two.

    Args:
        input: N x C x H x W, float16, bfloat16, float32 or float64, any strides.
        flow: N x 2 x Ho x Wo, displacement in pixels of the input, channel 0 is x; Ho x Wo may differ from H x W.
            float64 with float64 input; otherwise float32, or less, which is raised to float32 first. Any strides.
        padding_mode: "border" (the nearest pixel) or "zeros" for what lies outside.

    Returns:
        N x C x Ho x Wo in the input's dtype and memory format. A displacement that is not a number counts as
        -infinity: it samples nothing (zeros) or the first column or row (border), and has no gradient.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size, device or mode does not fit.
    """
    if has_torch_function((input, flow)):
        return handle_torch_function(warp, (input, flow), input, flow, padding_mode=padding_mode)
    flow = as_positions(flow)
    check_warp(input, flow, padding_mode)
    return _WARP((input, flow), padding_mode)


def correlation(
    first: Tensor,
    second: Tensor,
    *,
    radius: int = 3,
    stride: int = 1,
    negative_slope: float | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Correlation volume: how alike each feature is to those around the same place in another map.

    output[n, k, i, j] = mean over c of first[n, c, y, x] * second[n, c, y + stride * dy, x + stride * dx] with
    y = stride * i, x = stride * j, dy and dx from -radius to radius and channel
    k = (dy + radius) * (2 * radius + 1) + (dx + radius), and zeros outside the second map; then, with a negative slope,
    leaky ReLU. It is the cost volume of PWC-Net (arXiv 1709.02371). Products and sums are float32 at least, and rounded
    once, after the leaky ReLU.

    Args:
        first: N x C x H x W, float16, bfloat16, float32 or float64, any strides.
        second: like first. Under autocast both are lowered to its dtype.
        radius: largest displacement in steps, 0 or more.
        stride: pixels between centres and between displacements, 1 or more.
        negative_slope: slope of the leaky ReLU below zero, 0 or more; None for none.
        reduction: "mean" over the channels, or their "sum".

    Returns:
        N x (2 radius + 1)^2 x ceil(H / stride) x ceil(W / stride) in the dtype and memory format of first.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size, device, number or reduction does not fit.
    """
    if has_torch_function((first, second)):
        options: dict[str, Any] = {"radius": radius, "stride": stride, "negative_slope": negative_slope}
        options["reduction"] = reduction
        return handle_torch_function(correlation, (first, second), first, second, **options)
    first, second = lowered_by_autocast(first, second)
    check_correlation(first, second, radius, stride, negative_slope)
    check_reduction(reduction)
    return _CORRELATION((first, second), radius, stride, negative_slope, reduction == "mean")


def warp_correlation(
    first: Tensor,
    second: Tensor,
    grid: Tensor,
    *,
    radius: int = 3,
    negative_slope: float | None = None,
    padding_mode: str = "border",
    align_corners: bool = True,
) -> Tensor:
    """Correlation volume of a map sampled by a grid with a second map, without the sampled map in memory.

    With the padding mode and alignment that it is given, it equals

        correlation(grid_sample(first, grid, padding_mode="border", align_corners=True), second)

    (those of `grid_sample` are torch's by default, "zeros" and False). Values of the sampled map are rounded to the
    features' dtype, and so is its gradient. Only the arguments are kept for the gradients, and with a negative slope
    the result.

    Args:
        first: N x C x H x W, float16, bfloat16, float32 or float64, any strides.
        second: N x C x Ho x Wo in the dtype of first, any strides. Under autocast both are lowered to its dtype.
        grid: N x Ho x Wo x 2, positions (x, y) in first; -1 and 1 are the outer pixels' centres with `align_corners`,
            their outer edges without. float64 with float64 features; otherwise float32, or less, which is raised to
            float32 before anything is computed. Any strides: a permuted N x 2 x Ho x Wo map is read in place.
        radius: largest displacement in pixels of second, 0 or more.
        negative_slope: slope of the leaky ReLU below zero, 0 or more; None for none.
        padding_mode: "border" (the nearest pixel) or "zeros" for what lies outside first.
        align_corners: see `grid`.

    Returns:
        N x (2 radius + 1)^2 x Ho x Wo in the dtype and memory format of first; channels and zeros outside second are
        those of `correlation`. A position that is not a number counts as -infinity, as in `grid_sample`.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size, device, mode or number does not fit.
    """
    if has_torch_function((first, second, grid)):
        options: dict[str, Any] = {"radius": radius, "negative_slope": negative_slope, "padding_mode": padding_mode}
        tensors = (first, second, grid)
        return handle_torch_function(warp_correlation, tensors, *tensors, **options, align_corners=align_corners)
    first, second = lowered_by_autocast(first, second)
    grid = as_positions(grid)
    check_warp_correlation(first, second, grid, radius, negative_slope, padding_mode)
    return _WARP_CORRELATION((first, second, grid), radius, negative_slope, padding_mode, align_corners)


def feature_distance(features: Tensor, target: Tensor, *, relu: bool = True) -> tuple[Tensor, Tensor]:
    """Mean absolute distance of features, after ReLU, from a target: a level of a perceptual loss.

    activated = max(features, 0) and distance = mean |activated - target|, as `torch.nn.functional.relu` and `l1_loss`
    give, in one pass over memory, and so are the gradients. A network goes on with `activated`:

        x, distance = feature_distance(conv(x), target)

    Only `activated` (without ReLU the features) and the target are kept for the gradients. Differences are computed and
    summed in float32 at least. Derivatives are torch's: 0 where `activated` equals its target and where ReLU is at 0.

    Args:
        features: of any shape and strides, float16, bfloat16, float32 or float64. Under autocast they stay as they are.
        target: like features. Under autocast it is taken to the features' dtype. In the features' memory layout it is
            read in place.
        relu: without it `activated` is `features` itself.

    Returns:
        activated, in the shape, dtype and layout of the features, and the distance, a scalar of float64 with float64
        features, otherwise float32; not a number where there are no features.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a shape or device does not fit.
    """
    if has_torch_function((features, target)):
        return handle_torch_function(feature_distance, (features, target), features, target, relu=relu)
    if autocasts(features) and target.is_floating_point():
        target = target.to(features.dtype)
    check_feature_distance(features, target)
    activated, distance = _FEATURE_DISTANCE((features, target), relu)
    return activated if relu else features, distance
