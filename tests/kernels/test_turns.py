"""Loops of the CUDA kernels that turn once where inputs are small: each case here makes one of them turn again.

A GPU with many multiprocessors shares the channels of a small map out to many blocks; the host run is told to have one.
"""

from __future__ import annotations

import pytest
import torch
from kernel_inputs import (
    COMPILED,
    DTYPES,
    LAYOUTS,
    Case,
    assert_within_rounding,
    features,
    flow_to,
    grid_to,
    positions,
    run,
    with_dtype,
)

pytestmark = pytest.mark.skipif(COMPILED != "cuda", reason="concerns the CUDA kernels, which make cuda runs on the CPU")

CHANNELS = 520  # vectors of 16 bytes of any dtype for more threads than share a pixel's


def case_of(op: str) -> Case:
    """An image of few pixels and many channels, or a pair of maps of some tiles whose channels are several chunks."""
    if op in ("warp", "grid_sample"):
        size, image = (1, 2), features(1, CHANNELS, 1, 2)
        at = positions(1, 2, 1, size)
        if op == "warp":
            return Case(op, "many channels", (image, flow_to(at)), ("border",))
        return Case(op, "many channels", (image, grid_to(at, size, True)), ("border", True))
    size, channels = (9, 17), 80
    pair = features(1, channels, *size), features(1, channels, *size, seed=1)
    if op == "correlation":
        return Case(op, "several chunks", pair, (1, 1, 0.1, True))
    grid = grid_to(positions(1, *size, size), size, True)
    return Case(op, "several chunks", (*pair, grid), (1, 0.1, "border", True))


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("order", ["forward", "shuffled:1"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", ["warp", "grid_sample", "correlation", "warp_correlation"])
def test_all_turns_of_a_loop_are_taken(
    op: str, dtype: torch.dtype, layout: str, order: str, deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.use_deterministic_algorithms(deterministic)  # an image's gradient is by other kernels where it need not be
    monkeypatch.setenv("HOST_RUN_MULTIPROCESSORS", "1")
    monkeypatch.setenv("HOST_RUN_ORDER", order)
    case = with_dtype(case_of(op), dtype)
    grad_output = case.output_gradient()
    result = run(case.public, case.mapped(LAYOUTS[layout]).tensors, LAYOUTS[layout](grad_output))
    assert_within_rounding(case, result, grad_output)
