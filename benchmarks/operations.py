"""The operations as they are compared: ours, the stock form, and the float64 reference; each a function of tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

import tryon_kernels as tk
from benchmarks.inputs import NEGATIVE_SLOPE, RADIUS
from tryon_kernels import eager

Operation = Callable[..., Tensor]


def _separate(first: Tensor, second: Tensor, grid: Tensor) -> Tensor:
    """warp_correlation as two operations of ours, with the warped features in memory between them."""
    warped = tk.grid_sample(first, grid, padding_mode="border", align_corners=True)
    return tk.correlation(warped, second, radius=RADIUS, negative_slope=NEGATIVE_SLOPE)


OURS: dict[str, Operation] = {
    "warp": tk.warp,
    "grid_sample": partial(tk.grid_sample, padding_mode="border", align_corners=True),
    "correlation": partial(tk.correlation, radius=RADIUS),
    "warp_correlation": partial(tk.warp_correlation, radius=RADIUS, negative_slope=NEGATIVE_SLOPE),
}
SEPARATE: dict[str, Operation] = {"warp_correlation": _separate}


def _stock_grid_sample(input: Tensor, grid: Tensor) -> Tensor:
    """Torch wants features and positions of one dtype, and positions keep float32: the features are raised to it."""
    return F.grid_sample(input.float(), grid, "bilinear", "border", align_corners=True).to(input.dtype)


@lru_cache
def pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    """1 x H x W x 2: the grid that samples every pixel where it is; a caller makes it once and keeps it."""
    x, y = (torch.linspace(-1, 1, size, device=device) for size in (width, height))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def _stock_warp(input: Tensor, flow: Tensor) -> Tensor:
    return warp_from(pixel_grid(*input.shape[2:], input.device), input, flow)


def warp_from(pixels: Tensor, input: Tensor, flow: Tensor) -> Tensor:
    """The stock form of warp, with its pixel grid."""
    height, width = input.shape[2:]
    moved = torch.stack([flow[:, 0] * (2 / (width - 1)), flow[:, 1] * (2 / (height - 1))], dim=-1)
    return _stock_grid_sample(input, pixels + moved)


def _stock_correlation(first: Tensor, second: Tensor) -> Tensor:
    height, width = first.shape[2:]
    padded = F.pad(second, (RADIUS,) * 4)
    steps = range(2 * RADIUS + 1)
    products = [(first * padded[:, :, y : y + height, x : x + width]).mean(1) for y in steps for x in steps]
    return torch.stack(products, dim=1)


def _stock_warp_correlation(first: Tensor, second: Tensor, grid: Tensor) -> Tensor:
    return F.leaky_relu(_stock_correlation(_stock_grid_sample(first, grid), second), NEGATIVE_SLOPE)


STOCK: dict[str, Operation] = {
    "warp": _stock_warp,
    "grid_sample": _stock_grid_sample,
    "correlation": _stock_correlation,
    "warp_correlation": _stock_warp_correlation,
}


def _reference_warp_correlation(first: Tensor, second: Tensor, grid: Tensor) -> Tensor:
    return eager.correlation(eager.grid_sample(first, grid, "border", True), second, RADIUS, 1, NEGATIVE_SLOPE, True)


REFERENCE: dict[str, Operation] = {
    "warp": partial(eager.warp, padding_mode="border"),
    "grid_sample": partial(eager.grid_sample, padding_mode="border", align_corners=True),
    "correlation": partial(eager.correlation, radius=RADIUS, stride=1, negative_slope=None, mean=True),
    "warp_correlation": _reference_warp_correlation,
}


def forward(operation: Operation, tensors: tuple[Tensor, ...]) -> Tensor:
    """The output, without a graph."""
    with torch.no_grad():
        return operation(*tensors)


def forward_and_backward(
    operation: Operation, tensors: tuple[Tensor, ...], output_gradient: Tensor
) -> tuple[Tensor, ...]:
    """The output and the gradients of all tensors."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = operation(*leaves)
    return output.detach(), *torch.autograd.grad(output, leaves, output_gradient)
