"""What each operation accepts; every refusal names the argument, what it got and what it wants."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels.eager import position_dtype

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PADDING_MODES = ("zeros", "border")


def check_grid_sample(input: Tensor, grid: Tensor, padding_mode: str) -> None:
    """Refuse what `grid_sample` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_positions(input, "grid", grid, padding_mode)
    torch._check_value(
        grid.dim() == 4 and grid.shape[3] == 2,
        lambda: f"grid: got shape {_shape(grid)}, expected N x Ho x Wo x 2",
    )
    _check_batch(input, "grid", grid)


def check_warp(input: Tensor, flow: Tensor, padding_mode: str) -> None:
    """Refuse what `warp` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_positions(input, "flow", flow, padding_mode)
    torch._check_value(
        flow.dim() == 4 and flow.shape[1] == 2,
        lambda: f"flow: got shape {_shape(flow)}, expected N x 2 x Ho x Wo",
    )
    _check_batch(input, "flow", flow)


def check_correlation(first: Tensor, second: Tensor, radius: int, stride: int, negative_slope: float | None) -> None:
    """Refuse what `correlation` cannot take: TypeError for dtypes, ValueError for the rest."""
    _check_features("first", first)
    torch._check_value(
        second.shape == first.shape,
        lambda: f"second: got shape {_shape(second)}, expected that of first, {_shape(first)}",
    )
    torch._check_type(
        second.dtype == first.dtype, lambda: f"second: got {second.dtype}, expected that of first, {first.dtype}"
    )
    _check_device("second", second, "first", first)
    torch._check_value(radius >= 0, lambda: f"radius: got {radius}, expected 0 or more")
    torch._check_value(stride >= 1, lambda: f"stride: got {stride}, expected 1 or more")
    torch._check_value(
        negative_slope is None or negative_slope >= 0,
        lambda: f"negative_slope: got {negative_slope}, expected None or a number of 0 or more",
    )


def _check_features(name: str, tensor: Tensor) -> None:
    torch._check_value(tensor.dim() == 4, lambda: f"{name}: got shape {_shape(tensor)}, expected N x C x H x W")
    torch._check_type(
        tensor.dtype in DTYPES, lambda: f"{name}: got {tensor.dtype}, expected float16, bfloat16, float32 or float64"
    )


def _check_positions(input: Tensor, name: str, positions: Tensor, padding_mode: str) -> None:
    _check_features("input", input)
    torch._check_value(
        input.shape[2] > 0 and input.shape[3] > 0,
        lambda: f"input: got shape {_shape(input)}, expected a height and width of 1 or more",
    )
    wanted = position_dtype(input)
    torch._check_type(
        positions.dtype == wanted, lambda: f"{name}: got {positions.dtype}, expected {wanted} with {input.dtype} input"
    )
    _check_device(name, positions, "input", input)
    torch._check_value(
        padding_mode in PADDING_MODES, lambda: f'padding_mode: got "{padding_mode}", expected "zeros" or "border"'
    )


def _check_batch(input: Tensor, name: str, positions: Tensor) -> None:
    torch._check_value(
        positions.shape[0] == input.shape[0],
        lambda: f"{name}: got a batch of {positions.shape[0]}, expected that of input, {input.shape[0]}",
    )


def _check_device(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    torch._check_value(
        tensor.device == other.device,
        lambda: f"{name}: is on {tensor.device}, expected the device of {other_name}, {other.device}",
    )


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "() (a scalar)"
