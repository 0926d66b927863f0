"""The CUDA kernels, run on the CPU, with the threads of a block and the blocks of a grid in several orders.

On a GPU threads run in any order between barriers. A barrier that is missing shows in one of these as another result.
Sums are deterministic here (see conftest.py), so that all else is the same bits.
"""

from __future__ import annotations

import pytest
import torch
from kernel_inputs import Case, Result, run, sample_inputs, with_dtype

from tryon_kernels.availability import HOST_RUN

pytestmark = pytest.mark.skipif(not HOST_RUN, reason="runs where the CUDA kernels serve the CPU: make cuda")

ORDERS = ("forward", "backward", "shuffled:1", "shuffled:2")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", sample_inputs(), ids=str)
def test_results_are_the_same_bits_in_any_order_of_threads(
    case: Case, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = in_all_orders(with_dtype(case, dtype), monkeypatch)
    for result in results[1:]:
        assert torch.equal(result.output, results[0].output)
        assert all(map(torch.equal, result.gradients, results[0].gradients))


def test_an_images_gradient_by_atomic_additions_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.use_deterministic_algorithms(False)
    case = with_dtype(sample_inputs("warp")[6], torch.float32)  # 260 samples of an image of 6 pixels
    results = in_all_orders(case, monkeypatch)
    assert any(not torch.equal(result.gradients[0], results[0].gradients[0]) for result in results[1:])


def in_all_orders(case: Case, monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    grad_output = case.output_gradient()
    results = []
    for order in ORDERS:
        monkeypatch.setenv("HOST_RUN_ORDER", order)
        results.append(run(case.public, case.tensors, grad_output))
    return results
