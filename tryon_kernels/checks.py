"""What each operation accepts; every refusal names the argument, what it got and what it wants."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels.eager import position_dtype

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PADDING_MODES = ("zeros", "border")
REDUCTIONS = ("mean", "sum")


def check_grid_sample(input: Tensor, grid: Tensor, padding_mode: str) -> None:
    """Refuse what `grid_sample` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_sampled("input", input, grid, padding_mode)


def check_warp(input: Tensor, flow: Tensor, padding_mode: str) -> None:
    """Refuse what `warp` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_input("input", input)
    if flow.dim() != 4 or flow.shape[1] != 2:
        raise ValueError(f"flow: got shape {_shape(flow)}, expected N x 2 x Ho x Wo")
    _check_positions("input", input, "flow", flow, padding_mode)


def check_correlation(first: Tensor, second: Tensor, radius: int, stride: int, negative_slope: float | None) -> None:
    """Refuse what `correlation` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_features("first", first)
    if second.shape != first.shape:
        raise ValueError(f"second: got shape {_shape(second)}, expected that of first, {_shape(first)}")
    _check_like("second", second, "first", first)
    _check_volume(radius, negative_slope)
    if stride < 1:
        raise ValueError(f"stride: got {stride}, expected 1 or more")


def check_reduction(reduction: str) -> None:
    """Refuse a name that is no reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(f'reduction: got "{reduction}", expected "mean" or "sum"')


def check_warp_correlation(
    first: Tensor, second: Tensor, grid: Tensor, radius: int, negative_slope: float | None, padding_mode: str
) -> None:
    """Refuse what `warp_correlation` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_sampled("first", first, grid, padding_mode)
    wanted = (*first.shape[:2], *grid.shape[1:3])
    if second.shape != wanted:
        sizes = " x ".join(map(str, wanted))
        raise ValueError(f"second: got shape {_shape(second)}, expected that of first sampled by grid, {sizes}")
    _check_like("second", second, "first", first)
    _check_volume(radius, negative_slope)


def check_feature_distance(features: Tensor, target: Tensor) -> None:
    """Refuse what `feature_distance` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_dtype("features", features)
    if target.shape != features.shape:
        raise ValueError(f"target: got shape {_shape(target)}, expected that of features, {_shape(features)}")
    _check_like("target", target, "features", features)


def check_distance_gradients(
    grad_activated: Tensor | None, grad_distance: Tensor | None, activated: Tensor, target: Tensor
) -> None:
    """Refuse what are no gradients of the results for features and a target like these."""
    check_feature_distance(activated, target)
    if grad_activated is not None:
        check_grad_output(grad_activated, activated, *activated.shape, name="grad_activated")
    wide = position_dtype(activated)
    if grad_distance is not None and (grad_distance.dim() != 0 or grad_distance.dtype != wide):
        found = f"{grad_distance.dtype}, {_shape(grad_distance)}"
        raise ValueError(f"grad_distance: got {found}, expected {wide}, a scalar")


def check_grad_output(grad_output: Tensor, like: Tensor, *shape: int, name: str = "grad_output") -> None:
    """Refuse a gradient that is not one of an output of this shape, in the dtype of the features."""
    if grad_output.shape != shape:
        raise ValueError(f"{name}: got shape {_shape(grad_output)}, expected {' x '.join(map(str, shape))}")
    if grad_output.dtype != like.dtype:
        raise TypeError(f"{name}: got {grad_output.dtype}, expected {like.dtype}")


def check_volume_gradient(
    grad_output: Tensor, output: Tensor | None, like: Tensor, negative_slope: float | None, *shape: int
) -> None:
    """Refuse what is no gradient of a volume of this shape, and an output that is not that volume."""
    check_grad_output(grad_output, like, *shape)
    if (output is None) != (negative_slope is None):
        raise ValueError("output: expected exactly where there is a negative_slope")
    if output is not None and (output.shape != shape or output.dtype != like.dtype):
        raise ValueError(
            f"output: got {output.dtype}, {_shape(output)}, expected {like.dtype}, {' x '.join(map(str, shape))}"
        )


def _check_features(name: str, tensor: Tensor) -> None:
    if tensor.dim() != 4:
        raise ValueError(f"{name}: got shape {_shape(tensor)}, expected N x C x H x W")
    _check_dtype(name, tensor)


def _check_dtype(name: str, tensor: Tensor) -> None:
    if tensor.dtype not in DTYPES:
        raise TypeError(f"{name}: got {tensor.dtype}, expected float16, bfloat16, float32 or float64")


def _check_like(name: str, tensor: Tensor, of: str, like: Tensor) -> None:
    if tensor.dtype != like.dtype:
        raise TypeError(f"{name}: got {tensor.dtype}, expected that of {of}, {like.dtype}")
    _check_device(name, tensor, of, like)


def _check_volume(radius: int, negative_slope: float | None) -> None:
    if radius < 0:
        raise ValueError(f"radius: got {radius}, expected 0 or more")
    if negative_slope is not None and not negative_slope >= 0:
        raise ValueError(f"negative_slope: got {negative_slope}, expected None or a number of 0 or more")


def _check_input(name: str, input: Tensor) -> None:
    _check_features(name, input)
    if input.shape[2] == 0 or input.shape[3] == 0:
        raise ValueError(f"{name}: got shape {_shape(input)}, expected a height and width of 1 or more")


def _check_sampled(name: str, input: Tensor, grid: Tensor, padding_mode: str) -> None:
    _check_input(name, input)
    if grid.dim() != 4 or grid.shape[3] != 2:
        raise ValueError(f"grid: got shape {_shape(grid)}, expected N x Ho x Wo x 2")
    _check_positions(name, input, "grid", grid, padding_mode)


def _check_positions(input_name: str, input: Tensor, name: str, positions: Tensor, padding_mode: str) -> None:
    if positions.shape[0] != input.shape[0]:
        raise ValueError(
            f"{name}: got a batch of {positions.shape[0]}, expected that of {input_name}, {input.shape[0]}",
        )
    wanted = position_dtype(input)
    if positions.dtype != wanted:
        raise TypeError(f"{name}: got {positions.dtype}, expected {wanted} with {input.dtype} {input_name}")
    _check_device(name, positions, input_name, input)
    if padding_mode not in PADDING_MODES:
        raise ValueError(f'padding_mode: got "{padding_mode}", expected "zeros" or "border"')


def _check_device(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    if tensor.device != other.device:
        raise ValueError(f"{name}: is on {tensor.device}, expected the device of {other_name}, {other.device}")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "() (a scalar)"
