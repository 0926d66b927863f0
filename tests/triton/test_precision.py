"""What three products of TensorFloat32 numbers leave out of a product of float32 numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tryon_kernels.availability import INTERPRETED

pytest.importorskip("triton", reason="Triton is not installed")
if INTERPRETED:
    pytest.skip("Triton's interpreter multiplies float32 exactly", allow_module_level=True)

from triton_objects import KERNELS, Call, compiled

EPS = torch.finfo(torch.float32).eps
DROPPED_BITS = 13  # of float32's 23, of which TensorFloat32 keeps 10


def to_tf32(numbers: Tensor) -> Tensor:
    """Rounded to the nearest, ties away from zero, as `cvt.rna.tf32.f32` does."""
    bits = numbers.view(torch.int32) + (1 << (DROPPED_BITS - 1))
    return (bits >> DROPPED_BITS << DROPPED_BITS).view(torch.float32)


def three_products(a: Tensor, b: Tensor) -> Tensor:
    """In float64, which holds them and their sum without rounding."""
    (a_large, a_small), (b_large, b_small) = (
        (large.double(), to_tf32(numbers - large).double()) for numbers in (a, b) for large in (to_tf32(numbers),)
    )
    return a_small * b_large + a_large * b_small + a_large * b_large


def worst_numbers() -> Tensor:
    """Every float32 number next to a tie of TensorFloat32 in one power of two, and drawn ones."""
    ties = torch.arange(1 << 10, dtype=torch.int32).mul(1 << DROPPED_BITS).add(1 << (DROPPED_BITS - 1))
    near = torch.cat([ties + offset for offset in (-2, -1, 0, 1, 2)]) + torch.tensor(1.0).view(torch.int32)
    drawn = torch.rand(5000, generator=torch.Generator().manual_seed(0)) + 1
    return torch.cat([near.view(torch.float32), drawn])


def test_a_product_loses_six_eps_at_most() -> None:
    numbers = worst_numbers()
    a, b = numbers[:, None], numbers[None, ::7]
    exact = a.double() * b.double()
    lost = ((three_products(a, b) - exact) / exact).abs().max().item()
    assert lost <= 6 * EPS
    assert lost > EPS / 8  # these are numbers that lose something


@pytest.mark.parametrize("name", [name for name in KERNELS if "correlation" in name])
def test_both_parts_of_a_number_are_rounded_to_the_nearest(name: str) -> None:
    code = compiled(Call(name, torch.float32, "sm_80"))
    assert "cvt.rna.tf32.f32" in code.ptx
