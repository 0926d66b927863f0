"""Every size of every op may be 0: of a batch, of channels, of outputs, and of the maps that are correlated.

An image that is sampled has pixels, as `torch.nn.functional.grid_sample` wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from kernel_inputs import BACKENDS, CPU, DTYPES, LAYOUTS, OPS, Case, features, run, with_dtype
from torch.utils._python_dispatch import TorchDispatchMode

import tryon_kernels as tk
from tryon_kernels import stock

NAMES = ("batch", "channels", "height", "width")
SIZES = ((0, 2), (0, 3, 16), (0, 4), (0, 5))  # few channels, and whole vectors of them
SHAPES = [shape for shape in product(*SIZES) if 0 in shape]  # of a map, or of an output


def label(shape: tuple[int, ...]) -> str:
    return "no " + " ".join(name for name, size in zip(NAMES, shape, strict=True) if size == 0) + f" of {shape}"


def case_of(op: str, shape: tuple[int, ...]) -> Case:
    count, channels, *out = shape
    flow, grid = features(count, 2, *out), features(count, *out, 2)
    if op == "correlation":
        return Case(op, label(shape), (features(*shape), features(*shape, seed=1)), (2, 2, 0.1, True))
    image = features(count, channels, 6, 3)
    if op == "warp":
        return Case(op, label(shape), (image, flow), ("border",))
    if op == "grid_sample":
        return Case(op, label(shape), (image, grid), ("zeros", False))
    return Case(op, label(shape), (image, features(*shape, seed=1), grid), (2, 0.1, "border", True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES, ids=label)
@pytest.mark.parametrize("op", OPS)
def test_values_and_gradients_are_the_references(
    op: str, shape: tuple[int, ...], layout: str, dtype: torch.dtype
) -> None:
    case = with_dtype(case_of(op, shape), dtype).mapped(LAYOUTS[layout])
    expected = run(case.reference, case.tensors, device=CPU)
    for backend in BACKENDS:
        with tk.use_backend(backend):
            result = run(case.public, case.tensors)
        assert torch.equal(result.output, expected.output)
        assert all(map(torch.equal, result.gradients, expected.gradients))
        assert [gradient.dtype for gradient in result.gradients] == [tensor.dtype for tensor in case.tensors]


class Refusing(TorchDispatchMode):
    """As torch on a GPU, which with `use_deterministic_algorithms` refuses this gradient, were it of nothing."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        assert operation is not torch.ops.aten.grid_sampler_2d_backward.default
        return operation(*arguments, **(options or {}))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES, ids=label)
@pytest.mark.parametrize("op", [op for op in OPS if op != "correlation"])
def test_torch_is_not_asked_for_the_gradients_of_nothing(op: str, shape: tuple[int, ...], layout: str) -> None:
    case = case_of(op, shape).mapped(LAYOUTS[layout])
    expected = run(case.reference, case.tensors, device=CPU)
    with Refusing(), tk.use_backend("stock"):
        result = run(case.public, case.tensors, device=CPU)
        signs = (expected.output,) if op == "warp_correlation" else ()
        needed = (True for _ in case.tensors)
        backward = stock.implementation(f"{op}_backward")
        of_the_op = backward(expected.output, *case.tensors, *signs, *case.options, *needed)
    for made in (result.gradients, of_the_op):
        assert all(map(torch.equal, made, expected.gradients))


IMAGE_WITHOUT: dict[str, Callable[[], torch.Tensor]] = {
    "rows": lambda: torch.zeros(1, 2, 0, 3),
    "columns": lambda: torch.zeros(1, 2, 3, 0),
}


@pytest.mark.parametrize("what", IMAGE_WITHOUT)
def test_an_image_without_pixels_cannot_be_sampled_here_or_by_torch(what: str) -> None:
    image, grid = IMAGE_WITHOUT[what](), torch.zeros(1, 4, 5, 2)
    with pytest.raises(ValueError, match="expected a height and width of 1 or more"):
        tk.grid_sample(image, grid)
    with pytest.raises(RuntimeError, match="non-empty spatial dimensions"):
        torch.nn.functional.grid_sample(image, grid, align_corners=False)
