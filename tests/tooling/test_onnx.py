"""torch.onnx.export with the ops' translations, run by onnxruntime."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import tryon_kernels as tk
from tests.tooling.matcher import matcher, pictures
from tryon_kernels.onnx import translation_table

EPSILON = torch.finfo(torch.float32).eps
ROUNDINGS = 8  # of a position on its way to pixels, each by up to its size


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "tryon_kernels.onnx.translations", raising=False)
    with pytest.raises(ImportError, match=r"onnx is not installed; pip install tryon-kernels\[onnx\]"):
        translation_table()


class Several(nn.Module):
    """Some functions of the same tensors."""

    def __init__(self, functions: Sequence[Callable[..., Tensor]]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(*tensors) for function in self.functions)


def in_onnxruntime(network: nn.Module, traced: tuple[Tensor, ...], opset: int, **options: Any) -> Callable[..., Any]:
    """A network exported from some tensors, as a function of such tensors."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="optional packages: make extras")
    program = torch.onnx.export(
        network.eval(),
        traced,
        dynamo=True,
        verbose=False,
        opset_version=opset,
        custom_translation_table=translation_table(),
        **options,
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [value.name for value in session.get_inputs()]
    return lambda *tensors: session.run(None, dict(zip(names, (tensor.numpy() for tensor in tensors), strict=True)))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def positions(*shape: int) -> Tensor:
    """Normalised positions in and around a picture, some of them no finite numbers."""
    grid = 1.5 * noise(*shape, 2, seed=3)
    grid[0, 0, :3, 0] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    grid[0, 1, :3, 1] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    return grid


@pytest.mark.extras
@pytest.mark.parametrize("opset", [18, 20])
def test_sampling_has_its_values_in_all_modes(opset: int) -> None:
    image, grid = noise(2, 3, 9, 11), positions(2, 7, 5)
    flow = 4 * grid.permute(0, 3, 1, 2).contiguous()
    functions: list[Callable[..., Tensor]] = []
    for padding in ("zeros", "border"):
        functions.append(lambda image, grid, flow, padding=padding: tk.warp(image, flow, padding_mode=padding))
        for corners in (True, False):
            functions.append(
                lambda image, grid, flow, padding=padding, corners=corners: tk.grid_sample(
                    image, grid, padding_mode=padding, align_corners=corners
                )
            )
    found = in_onnxruntime(Several(functions), (image, grid, flow), opset)(image, grid, flow)
    # A rounding of a position moves a sample by as much of the difference of two taps.
    tolerance = ROUNDINGS * EPSILON * max(image.shape) * 2 * image.abs().max().item()
    for function, values in zip(functions, found, strict=True):
        exact = function(image.double(), grid.double(), flow.double())
        np.testing.assert_allclose(values, exact.numpy(), atol=tolerance, rtol=0)


@pytest.mark.extras
@pytest.mark.parametrize("opset", [18, 20])
def test_correlation_has_its_values_for_every_radius_stride_slope_and_reduction(opset: int) -> None:
    first, second, grid = noise(2, 5, 9, 19), noise(2, 5, 9, 19, seed=1), positions(2, 9, 19)
    options: list[dict[str, Any]] = [
        {"radius": 3, "negative_slope": 0.1},
        {"radius": 0},
        {"radius": 9, "reduction": "sum"},
        {"radius": 1, "stride": 2, "negative_slope": 0.0},
    ]
    functions: list[Callable[..., Tensor]] = [
        lambda first, second, grid, chosen=chosen: tk.correlation(first, second, **chosen) for chosen in options
    ]
    for padding, corners in (("border", True), ("zeros", False)):
        functions.append(
            lambda first, second, grid, padding=padding, corners=corners: tk.warp_correlation(
                first, second, grid, radius=2, negative_slope=0.1, padding_mode=padding, align_corners=corners
            )
        )
    found = in_onnxruntime(Several(functions), (first, second, grid), opset)(first, second, grid)
    largest = first.abs().max().item() * second.abs().max().item()
    # Of a sum of five products, and of the positions of what is warped before.
    tolerance = (len(first[0]) ** 2 + 2 * ROUNDINGS * max(first.shape)) * EPSILON * largest
    for function, values in zip(functions, found, strict=True):
        exact = function(first.double(), second.double(), grid.double())
        np.testing.assert_allclose(values, exact.numpy(), atol=tolerance, rtol=0)


@pytest.mark.extras
def test_features_of_half_precision_are_computed_in_float32_and_rounded_once() -> None:
    image, grid = noise(1, 3, 9, 11).half(), positions(1, 7, 5)

    def sampled(image: Tensor, grid: Tensor) -> Tensor:
        return tk.grid_sample(image, grid)

    def correlated(image: Tensor, grid: Tensor) -> Tensor:
        return tk.correlation(image, image)

    found = in_onnxruntime(Several([sampled, correlated]), (image, grid), 18)(image, grid)
    for function, values in zip((sampled, correlated), found, strict=True):
        assert values.dtype == np.float16
        exact = function(image.double(), grid.double()).numpy()
        # One rounding to eleven bits; the least normal number beside 0.
        np.testing.assert_allclose(values.astype(np.float64), exact, rtol=2**-11, atol=2**-14)


@pytest.mark.extras
def test_one_file_serves_other_batches_and_heights() -> None:
    axes = {0: Dim("batch", max=64), 2: Dim("height", min=3, max=64)}
    run = in_onnxruntime(matcher(), pictures(2, 8, 10), 18, dynamic_shapes=(axes, axes))
    for size in ((3, 9, 10), (5, 16, 10)):
        inputs = pictures(*size)
        with torch.no_grad():
            expected = matcher()(*inputs)
        for values, wanted in zip(run(*inputs), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(values), wanted)


@pytest.mark.extras
def test_what_has_no_translation_is_an_error() -> None:
    pytest.importorskip("onnxscript", reason="optional packages: make extras")

    def distance(features: Tensor, target: Tensor) -> Tensor:
        return tk.feature_distance(features, target)[1]

    with pytest.raises(torch.onnx.OnnxExporterError, match="feature_distance"):
        in_onnxruntime(Several([distance]), (noise(1, 2, 3, 3), noise(1, 2, 3, 3)), 18)
