"""torch.utils.flop_counter knows the ops; a multiplication and addition are two."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import tryon_kernels as tk
from tests.tooling.matcher import OPS, needs_kernels

pytestmark = needs_kernels

MAP, OUT = (2, 5, 6, 8), (2, 5, 3, 4)  # N x C x H x W
SAMPLED = 2 * 4 * (2 * 5 * 3 * 4)  # weights times taps of the map sampled to OUT
VOLUME = 2 * 5 * (2 * 25 * 3 * 4)  # a product of 5 channels for each of the 25 displacements of radius 2
FLOPS = {  # forward, backward of each tensor alone, backward of all
    "warp": (SAMPLED, (SAMPLED, SAMPLED), 2 * SAMPLED),
    "grid_sample": (SAMPLED, (SAMPLED, SAMPLED), 2 * SAMPLED),
    "correlation": (VOLUME, (VOLUME, VOLUME), 2 * VOLUME),
    "warp_correlation": (
        SAMPLED + VOLUME,
        (VOLUME + SAMPLED, VOLUME, VOLUME + SAMPLED),
        2 * VOLUME + 2 * SAMPLED,
    ),
}


def arguments(op: str) -> list[Tensor]:
    shapes = {
        "warp": (MAP, (2, 2, 3, 4)),
        "grid_sample": (MAP, (2, 3, 4, 2)),
        "correlation": (MAP, MAP),  # in steps of 2, which gives a volume of 3 x 4
        "warp_correlation": (MAP, OUT, (2, 3, 4, 2)),
    }[op]
    return [torch.rand(shape) for shape in shapes]


def call(op: str, *tensors: Tensor) -> Tensor:
    options = {"correlation": {"radius": 2, "stride": 2}, "warp_correlation": {"radius": 2}}.get(op, {})
    return getattr(tk, op)(*tensors, **options)


def counted(counter: FlopCounterMode) -> dict[str, int]:
    return {str(op).rpartition(".")[2]: flops for op, flops in counter.get_flop_counts()["Global"].items()}


@pytest.mark.parametrize("op", OPS)
def test_a_forward_counts_its_products(op: str) -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(op, *arguments(op))
    assert counted(counter) == {op: FLOPS[op][0]}


@pytest.mark.parametrize("op", OPS)
def test_a_backward_counts_the_gradients_needed(op: str) -> None:
    forward, alone, together = FLOPS[op]
    for needed, flops in (*((i, flops) for i, flops in enumerate(alone)), (None, together)):
        tensors = [tensor.requires_grad_(needed in (i, None)) for i, tensor in enumerate(arguments(op))]
        with FlopCounterMode(display=False) as counter:
            call(op, *tensors).sum().backward()
        assert counted(counter) == {op: forward, f"{op}_backward": flops}


def test_a_fused_op_counts_as_those_it_stands_for() -> None:
    first, second, grid = arguments("warp_correlation")
    with FlopCounterMode(display=False) as fused:
        call("warp_correlation", *(t.clone().requires_grad_() for t in (first, second, grid))).sum().backward()
    with FlopCounterMode(display=False) as apart:
        leaves = [t.clone().requires_grad_() for t in (first, second, grid)]
        tk.correlation(tk.grid_sample(leaves[0], leaves[2]), leaves[1], radius=2).sum().backward()
    assert fused.get_total_flops() == apart.get_total_flops()


def test_no_op_is_without_a_formula() -> None:
    names = [f"{op}{suffix}" for op in OPS for suffix in ("", "_backward")]
    assert all(getattr(torch.ops.tryon_kernels, name) in flop_registry for name in names)
