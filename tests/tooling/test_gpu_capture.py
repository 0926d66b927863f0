"""A CUDA graph can hold what runs on a GPU: no number of a tensor is read by the host, and all memory is the GPU's.

The host's part (`tryon_kernels.gpu`) runs here on meta tensors, which have no numbers: to read one is an error. Its
kernels note their launches instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from kernel_inputs import OPS, Case, sample_inputs, with_dtype

from tests.one_device import META, OnOneDevice, tensors_of
from tryon_kernels import gpu

CASES = [case for op in OPS for case in sample_inputs(op) if case.tensors[0].numel() > 0][::3]


class NotedLaunches:
    """Kernels that do nothing (see `tryon_kernels.gpu.kernels`)."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def launch(*arguments: Any) -> None:
            assert all(tensor.device == META and tensor.numel() > 0 for tensor in tensors_of(arguments))
            self.names.append(name)

        return launch


@pytest.fixture(params=[False, True], ids=["any order of sums", "deterministic"])
def deterministic(request: pytest.FixtureRequest) -> Iterator[bool]:
    torch.use_deterministic_algorithms(request.param)
    yield request.param
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_op_waits_for_the_gpu(case: Case, dtype: torch.dtype, deterministic: bool) -> None:
    kernels, case = NotedLaunches(), with_dtype(case, dtype)
    tensors = tuple(tensor.to(META) for tensor in case.tensors)
    with OnOneDevice():
        output = getattr(gpu, case.op)(kernels, *tensors, *case.options)
        signs = (None if case.negative_slope is None else output,) if "correlation" in case.op else ()
        gradients = getattr(gpu, f"{case.op}_backward")(
            kernels, output, *tensors, *signs, *case.options, *(True for _ in tensors)
        )
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in tensors]
    assert len(kernels.names) > 1 or output.numel() == 0


def test_the_check_above_sees_what_reads_a_number_and_what_copies() -> None:
    number = torch.zeros((), device=META)
    with OnOneDevice():
        with pytest.raises(RuntimeError, match="meta"):
            bool(number > 0)
        with pytest.raises(RuntimeError, match="meta"):
            torch.nonzero(number > 0)
        with pytest.raises(AssertionError, match="cpu"):
            torch.zeros(2).to(META)
