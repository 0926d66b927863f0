"""Tensors with a size of 0: nothing is computed, and what is there to be returned is 0."""

from __future__ import annotations

import pytest
import torch
from kernel_inputs import BACKENDS, DEVICE, OPS, Case, features, run

import tryon_kernels as tk

SIZES = {"images": 2, "channels": 3, "height": 4, "width": 5, "output height": 3, "output width": 2}


def case_without(op: str, empty: str) -> Case:
    """The op's arguments where one size is 0."""
    count, channels, height, width, *out = (0 if name == empty else size for name, size in SIZES.items())
    image, grid = features(count, channels, height, width).float(), features(count, *out, 2, seed=1).float()
    if op == "correlation":
        return Case(op, empty, (image, features(*image.shape, seed=2).float()), (1, 2, 0.1))
    if op == "warp_correlation":
        second = features(count, channels, *out, seed=2).float()
        return Case(op, empty, (image, second, grid), (1, 0.1, "zeros", False))
    if op == "warp":
        return Case(op, empty, (image, grid.permute(0, 3, 1, 2)), ("border",))
    return Case(op, empty, (image, grid), ("zeros", False))


# An image that is sampled has a height and a width (test_refusals.py); a correlation's output has its maps'.
EMPTY = [(op, name) for op in OPS for name in SIZES if name not in ("height", "width") and op != "correlation"]
EMPTY += [("correlation", name) for name in SIZES if not name.startswith("output")]


@pytest.mark.parametrize("deterministic", [False, True], ids=["any order", "deterministic"])
@pytest.mark.parametrize(("op", "empty"), EMPTY)
@pytest.mark.parametrize("backend", BACKENDS)
def test_where_a_size_is_zero_results_and_gradients_are_zeros(
    backend: str, op: str, empty: str, deterministic: bool
) -> None:
    case = case_without(op, empty)
    torch.use_deterministic_algorithms(deterministic)
    with tk.use_backend("eager"):
        shape = case.public(*case.tensors).shape
    with tk.use_backend(backend):
        result = run(case.public, case.tensors, torch.ones(shape), DEVICE)
    assert result.output.shape == shape
    assert not result.output.any()
    assert [gradient.shape for gradient in result.gradients] == [tensor.shape for tensor in case.tensors]
    assert not any(gradient.any() for gradient in result.gradients)
