from __future__ import annotations

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from kernel_inputs import (
    COMPILED,
    LAYOUTS,
    SIMULATED,
    Case,
    assert_within_rounding,
    features,
    flow_to,
    grid_to,
    positions,
    run,
    with_dtype,
)

import tryon_kernels as tk

SIZE = st.tuples(st.integers(1, 13), st.integers(1, 13))
LAYOUT = st.sampled_from(sorted(LAYOUTS))
DTYPE = st.sampled_from((torch.float32, torch.float64, torch.float16, torch.bfloat16))


def check(case: Case, dtype: torch.dtype, layouts: tuple[str, ...]) -> None:
    assume(not (SIMULATED and case.is_large()))
    case = with_dtype(case, dtype)
    *of_tensors, of_gradient = layouts
    tensors = tuple(LAYOUTS[layout](tensor) for tensor, layout in zip(case.tensors, of_tensors, strict=True))
    case = Case(case.op, case.name, tensors, case.options)
    grad_output = LAYOUTS[of_gradient](case.output_gradient())
    with tk.use_backend(COMPILED):
        result = run(case.public, case.tensors, grad_output)
    assert_within_rounding(case, result, grad_output)


@given(
    count=st.integers(0, 3),
    channels=st.integers(1, 37),
    size=SIZE,
    out=SIZE,
    padding_mode=st.sampled_from(("border", "zeros")),
    align_corners=st.sampled_from((None, True, False)),
    dtype=DTYPE,
    layouts=st.tuples(LAYOUT, LAYOUT, LAYOUT),
    seed=st.integers(0, 1000),
)
def test_sampling(count, channels, size, out, padding_mode, align_corners, dtype, layouts, seed) -> None:
    image, at = features(count, channels, *size, seed=seed), positions(count, *out, size, seed=seed + 1)
    if align_corners is None:
        case = Case("warp", "drawn", (image, flow_to(at)), (padding_mode,))
    else:
        case = Case("grid_sample", "drawn", (image, grid_to(at, size, align_corners)), (padding_mode, align_corners))
    check(case, dtype, layouts)


@given(
    count=st.integers(0, 3),
    channels=st.integers(1, 70),
    size=st.tuples(st.integers(1, 13), st.integers(1, 40)),
    radius=st.integers(0, 10),
    stride=st.integers(1, 3),
    negative_slope=st.sampled_from((None, 0.0, 0.1, 1.5)),
    mean=st.booleans(),
    dtype=DTYPE,
    layouts=st.tuples(LAYOUT, LAYOUT, LAYOUT),
    seed=st.integers(0, 1000),
)
def test_correlation(count, channels, size, radius, stride, negative_slope, mean, dtype, layouts, seed) -> None:
    pair = features(count, channels, *size, seed=seed), features(count, channels, *size, seed=seed + 1)
    check(Case("correlation", "drawn", pair, (radius, stride, negative_slope, mean)), dtype, layouts)


@given(
    count=st.integers(0, 3),
    channels=st.integers(1, 150),
    size=SIZE,
    out=SIZE,
    radius=st.integers(0, 3),
    negative_slope=st.sampled_from((None, 0.0, 0.1, 1.5)),
    padding_mode=st.sampled_from(("border", "zeros")),
    align_corners=st.booleans(),
    dtype=DTYPE,
    layouts=st.tuples(LAYOUT, LAYOUT, LAYOUT, LAYOUT),
    seed=st.integers(0, 1000),
)
def test_warp_correlation(
    count, channels, size, out, radius, negative_slope, padding_mode, align_corners, dtype, layouts, seed
) -> None:
    pair = features(count, channels, *size, seed=seed), features(count, channels, *out, seed=seed + 1)
    grid = grid_to(positions(count, *out, size, seed=seed + 2), size, align_corners)
    options = (radius, negative_slope, padding_mode, align_corners)
    check(Case("warp_correlation", "drawn", (*pair, grid), options), dtype, layouts)
