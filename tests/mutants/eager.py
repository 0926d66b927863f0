"""Mutants of the reference formulas."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

EAGER = "tryon_kernels/eager.py"
VALUES = "tests/kernels/test_values.py"
FAR = "tests/kernels/test_non_finite.py"
OPS = "tests/kernels/test_ops.py"

MUTANTS = (
    Mutant(
        EAGER,
        "torch.where(volume > 0, volume, volume * negative_slope)",
        "torch.where(volume >= 0, volume, volume * negative_slope)",
        VALUES,
    ),
    Mutant(EAGER, "volume = volume / max(first.shape[1], 1)", "volume = volume / first.shape[1]", VALUES),
    Mutant(
        EAGER, "inside = (position > low) & (position < high)", "inside = (position >= low) & (position < high)", FAR
    ),
    Mutant(
        EAGER, "inside = (position >= -1) & (position <= size)", "inside = (position > -1) & (position <= size)", FAR
    ),
    Mutant(EAGER, "low, high = -2, size", "low, high = -1, size", FAR),
    Mutant(
        EAGER,
        "output = output + torch.where(within[:, None], taps * weight, 0)",
        "output = output + taps * weight * within[:, None]",
        FAR,
    ),
    Mutant(EAGER, "return ((normalised + 1) * size - 1) / 2", "return ((normalised + 1) * size) / 2", VALUES),
    Mutant(
        EAGER,
        "left, top = x.detach().floor(), y.detach().floor()",
        "left, top = x.detach().trunc(), y.detach().trunc()",
        VALUES,
    ),
    Mutant(
        EAGER, "return torch.float64 if input.dtype == torch.float64 else torch.float32", "return torch.float32", VALUES
    ),
    Mutant(EAGER, "and not tensor.is_contiguous() else", "else", OPS),
)
