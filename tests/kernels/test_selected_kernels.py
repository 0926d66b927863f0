"""Where kernels for GPUs are there, "auto" asks them first; `make triton` and `make cuda` put them in a GPU's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_inputs import COMPILED, DEVICE, OPS, SIMULATED, sample_inputs, with_dtype

import tryon_kernels as tk
from tryon_kernels import availability
from tryon_kernels.gpu import selection, verdict
from tryon_kernels.report import OPTIONS

pytestmark = pytest.mark.skipif(
    not (SIMULATED or DEVICE.type == "cuda"), reason="concerns kernels for GPUs: make triton and make cuda"
)


@pytest.fixture(autouse=True)
def nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRYON_KERNELS_CACHE", str(tmp_path))
    torch.use_deterministic_algorithms(False)
    selection.forget()
    yield
    selection.forget()


def of_the_kernels(name: str) -> Callable[..., Any]:
    return availability.implementation(COMPILED, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("op", [*OPS, "feature_distance"])
def test_the_kernels_show_themselves_right(op: str, dtype: torch.dtype) -> None:
    assert verdict.wrong(of_the_kernels, op, dtype, True, DEVICE, OPTIONS[op]) is None


@pytest.mark.parametrize("op", ["warp", "correlation"])
def test_results_stay_right_where_kernels_are_wrong(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(name: str) -> Callable[..., Any]:
        made = of_the_kernels(name)
        return made if name.endswith("_backward") else lambda *arguments: made(*arguments).roll(1, -1)

    monkeypatch.setattr(availability, "gpu_backends", lambda: (COMPILED,))
    original = availability.implementation
    monkeypatch.setattr(
        availability, "implementation", lambda who, name: wrong(name) if who == COMPILED else original(who, name)
    )
    case = with_dtype(next(c for c in sample_inputs(op) if c.tensors[0].numel() > 20), torch.float32)
    leaves = [tensor.to(DEVICE).requires_grad_() for tensor in case.tensors]
    with tk.use_backend("auto"):
        with pytest.warns(RuntimeWarning, match="are left out"):
            output = case.public(*leaves)
        made = torch.autograd.grad(output.sum(), leaves)
    with tk.use_backend("eager"):
        expected = case.public(*leaves)
        gradients = torch.autograd.grad(expected.sum(), leaves)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made, gradients, rtol=1e-4, atol=1e-4)


def test_a_compiled_graph_chooses_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    case = with_dtype(sample_inputs("warp")[0], torch.float32)
    chosen: list[str] = []

    def note(op: str, name: str, arguments: tuple[Any, ...]) -> str:
        chosen.append(name)
        return "stock"

    monkeypatch.setattr(selection, "select_for_op", note)
    compiled = torch.compile(case.public, fullgraph=True, backend="aot_eager")
    leaves = [tensor.to(DEVICE).requires_grad_() for tensor in case.tensors]
    with tk.use_backend("auto"):
        compiled(*leaves).sum().backward()
    assert chosen == ["warp", "warp_backward"]
