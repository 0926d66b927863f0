"""Mutants of the Triton kernels, and of what all GPU kernels share."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CORRELATION = "tryon_kernels/triton/correlation.py"
POSITIONS = "tryon_kernels/triton/positions.py"
SAMPLE = "tryon_kernels/triton/sample.py"
OF_CORRELATION = "tryon_kernels/gpu/correlation.py"
CHECKS = "tryon_kernels/checks.py"
CORRELATED = "tests/kernels/test_values.py -k 'within_rounding and correlation and not warp_'"
FUSED = "tests/kernels/test_values.py -k 'within_rounding and warp_correlation'"
SAMPLED = "tests/kernels/test_values.py -k 'within_rounding and grid_sample'"
FAR = "tests/kernels/test_non_finite.py"
REFUSED = "tests/kernels/test_refusals.py -k 'output and missing'"

MUTANTS = (
    Mutant(
        POSITIONS,
        "inside = (position > low) & (position < high)",
        "inside = (position >= low) & (position < high)",
        FAR,
    ),
    Mutant(
        POSITIONS,
        "inside = (position >= -1) & (position <= high)",
        "inside = (position > -1) & (position <= high)",
        FAR,
    ),
    Mutant(POSITIONS, "tl.where(position >= high, high, low)", "tl.where(position <= low, low, high)", FAR),
    Mutant(POSITIONS, "position = ((given + 1) * extent - 1) / 2", "position = (given + 1) * extent / 2", SAMPLED),
    Mutant(
        SAMPLE,
        "by_y += (u if i else 1 - u) * (along if j else -along)",
        "by_y += (u if i else 1 - u) * (along if j else along)",
        SAMPLED,
    ),
    Mutant(
        SAMPLE,
        "tl.store(to, tl.where(x_slope != 0, by_x * x_slope, 0), mask=real)",
        "tl.store(to, by_x * x_slope, mask=real)",
        FAR,
    ),
    Mutant(
        CORRELATION,
        "values = tl.where(values > 0, values, values * tl.full((1, 1), slope, number))",
        "values = tl.where(values < 0, values, values * tl.full((1, 1), slope, number))",
        CORRELATED,
    ),
    Mutant(
        OF_CORRELATION,
        "if stride > 1:\n                gradient.zero_()",
        "if stride > 2:\n                gradient.zero_()",
        CORRELATED,
    ),
    Mutant(OF_CORRELATION, "negative_slope, True, *how)", "negative_slope, True, *NOT_SAMPLED)", FUSED),
    Mutant(
        CHECKS,
        "if (output is None) != (negative_slope is None):",
        "if output is None and negative_slope is None:",
        REFUSED,
    ),
)
