"""Results are the same bits for any number of threads, signs of zeros too. What is no number may be any NaN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_inputs import (
    COMPILED,
    CPU_LIBRARY,
    DTYPES,
    LAYOUTS,
    OPS,
    POSITIONS,
    Case,
    Result,
    assert_within_rounding,
    features,
    flow_to,
    generator,
    grid_to,
    output_gradient,
    positions,
    run,
    sample_inputs,
    with_dtype,
)
from torch import Tensor

import tryon_kernels as tk

pytestmark = pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def bits(tensor: Tensor) -> Tensor:
    """The numbers as they are in memory; one of all NaNs stands for each."""
    numbers = torch.where(tensor.isnan(), torch.nan, tensor)
    return numbers.contiguous().view(BITS[tensor.element_size()])


def assert_same_bits(
    case: Case, grad_output: Tensor | None = None, counts: tuple[int, ...] = (1, 2, 3, 4, 5)
) -> Result:
    results = []
    for count in counts:
        with threads(count):
            results.append(run(case.public, case.tensors, grad_output))
    for result in results[1:]:
        assert torch.equal(bits(result.output), bits(results[0].output))
        for gradient, alone in zip(result.gradients, results[0].gradients, strict=True):
            assert torch.equal(bits(gradient), bits(alone))
    return results[0]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("op", OPS)
def test_the_cases_of_all_tests(op: str, layout: str) -> None:
    for case in sample_inputs(op):
        assert_same_bits(with_dtype(case, torch.float32).mapped(LAYOUTS[layout]))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("reach", [0.9, 0.1, 1.5])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_an_image_that_is_summed_in_bands(channels: int, reach: float, layout: str) -> None:
    size = (300, 150)
    image, flow = features(1, channels, *size), flow_to(positions(1, *size, size, reach=reach))
    case = with_dtype(Case("warp", "large", (image, flow), ("border",)), torch.float32).mapped(LAYOUTS[layout])
    grad_output = output_gradient(image.float())
    assert_within_rounding(case, assert_same_bits(case, grad_output), grad_output)


def special(tensor: Tensor, values: tuple[float, ...], seed: int) -> Tensor:
    """Numbers of which the signs of zeros, or infinities and NaN, tell in which way they were added."""
    drawn = torch.randint(len(values), tensor.shape, generator=generator(seed))
    return torch.tensor(values, dtype=torch.float64)[drawn]


# A product of the smallest ones is 0 with the sign of what was rounded away.
ZEROS = (-0.0, -0.0, 0.0, -0.0, 0.0, 1.0, -1.0, 1e-30, -1e-30)
NOT_FINITE = (0.0, -0.0, 1.0, -1.0, torch.inf, -torch.inf, torch.nan)


def drawn_case(op: str, shape: tuple[int, ...], options: dict[str, Any]) -> Case:
    count, channels, *size = shape
    drawn = positions(count, *size, (9, 20), reach=options["reach"], seed=options["seed"])
    at = drawn.mul(2).round() / 2  # whole numbers too
    first, second = features(*shape), features(*shape)
    if op == "correlation":
        return Case(op, "drawn", (first, second), (options["radius"], options["stride"], options["slope"], True))
    image = features(count, channels, 9, 20)
    if op == "warp":
        return Case(op, "drawn", (image, flow_to(at)), (options["padding_mode"],))
    sampling = (options["padding_mode"], options["align_corners"])
    grid = grid_to(at, (9, 20), options["align_corners"])
    if op == "grid_sample":
        return Case(op, "drawn", (image, grid), sampling)
    return Case(op, "drawn", (image, second, grid), (options["radius"], options["slope"], *sampling))


@given(
    op=st.sampled_from(OPS),
    shape=st.tuples(st.integers(1, 2), st.sampled_from((1, 3, 5, 16, 70)), st.integers(1, 40), st.integers(1, 70)),
    options=st.fixed_dictionaries(
        {
            "radius": st.integers(0, 4),
            "stride": st.integers(1, 2),
            "slope": st.sampled_from((None, 0.0, 0.1)),
            "padding_mode": st.sampled_from(("border", "zeros")),
            "align_corners": st.booleans(),
            "reach": st.sampled_from((0.8, 1.5)),  # few samples outside, or many
            "seed": st.integers(0, 1000),
        }
    ),
    values=st.sampled_from((ZEROS, NOT_FINITE)),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_zeros_of_both_signs_and_numbers_that_are_not_finite(op, shape, options, values, dtype, layout) -> None:
    case, seed = drawn_case(op, shape, options), options["seed"]
    tensors = [
        tensor if place == POSITIONS.get(op) else special(tensor, values, seed + place)
        for place, tensor in enumerate(case.tensors)
    ]
    case = with_dtype(Case(op, "drawn", tuple(tensors), case.options), dtype).mapped(LAYOUTS[layout])
    output = case.public(*case.tensors)
    grad_output = LAYOUTS[layout](special(output, values, seed + 7).to(dtype))
    assert_same_bits(case, grad_output)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_a_pixel_samples_does_not_depend_on_where_its_neighbours_sample(
    channels: int, layout: str, dtype: torch.dtype
) -> None:
    image = LAYOUTS[layout](torch.full((1, channels, 20, 40), -0.0, dtype=dtype))
    flow = torch.zeros(1, 2, 20, 40, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    inside = tk.warp(image, flow, padding_mode="zeros")
    flow[..., ::7] = 100
    some_outside = tk.warp(image, flow, padding_mode="zeros")
    still = [x for x in range(40) if x % 7]
    assert torch.equal(bits(some_outside[..., still]), bits(inside[..., still]))
