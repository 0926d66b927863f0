from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

pytest.importorskip("triton", reason="the tiles are Triton's: Triton is not installed")

from benchmarks.gpu_floors import BEGIN, DOCUMENT, END, document
from benchmarks.gpu_traffic import AROUND_CELLS, AROUND_PIXELS, AROUND_SUMS, ours
from benchmarks.gpu_work import DEVICES, KERNELS, Maps, least
from benchmarks.inputs import DTYPES, PYRAMID
from tryon_kernels.gpu import sampling

BACKENDS = ("cuda", "triton")


def test_the_document_holds_the_tables() -> None:
    assert DOCUMENT.read_text().split(BEGIN)[1].split(END)[0].strip() == document()


def test_the_least_of_an_operation_is_that_of_its_kernels_or_less() -> None:
    for dtype in ("fp32", "bf16"):
        maps = Maps((64, 48), dtype)
        grad, value = (sum(least(name, maps).memory for name in names) for names in (KERNELS[1:3], KERNELS[:1]))
        case = maps.case("grid_sample")
        assert case.bytes("forward") == value
        assert case.bytes("forward+backward") <= value + grad
        both = sum((least(name, maps) for name in KERNELS[4:7]), start=least("sample", maps)).flops
        arithmetic = least("sample", maps).flops + maps.case("correlation").flops("forward+backward")
        assert both == (arithmetic if dtype == "fp32" else least("sample", maps).flops)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_our_kernels_do_no_less_than_what_must_be_done(kernel: str, backend: str) -> None:
    for size in PYRAMID:
        for dtype in ("fp32", "bf16"):
            maps = Maps(size, dtype)
            needed, done = least(kernel, maps), ours(backend, kernel, maps)
            assert done.memory >= needed.memory
            assert done.cache >= needed.cache
            assert done.flops + done.tensor_flops >= needed.flops + needed.tensor_flops
            on_tensor_cores = backend == "triton" and ("correlation" in kernel or "gradient" in kernel)
            assert dtype == "bf16" or done.tensor_flops == 0 or on_tensor_cores


def test_a_device_takes_as_long_as_its_slowest_part() -> None:
    work = least("correlation", Maps((128, 96), "bf16"))
    seconds = work.seconds(DEVICES["H100"])
    assert seconds == {"memory": work.memory / 3.35e12, "arithmetic": work.tensor_flops / 989e12}


class Traffic(TorchDispatchMode):
    """Bytes that torch's operations read and write; memory that is only allocated or looked at does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in func.name():
            written = [
                value
                for value, argument in zip(args, func._schema.arguments, strict=False)
                if argument.alias_info is not None and argument.alias_info.is_write
            ]
            read = (
                []
                if "like" in func.name()
                else [value for value in tree_leaves((args, kwargs)) if _new(value, written)]
            )
            self.bytes += sum(tensor.nbytes for tensor in (*read, *tree_leaves(result)) if torch.is_tensor(tensor))
        return result


def _new(value: object, written: list[object]) -> bool:
    return all(value is not other for other in written)


class NoKernels:
    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


@pytest.fixture(params=[False, True], ids=["atomic", "deterministic"])
def deterministic(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(request.param)
    yield request.param
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_bytes_around_an_inputs_gradient_are_those_of_torchs_operations(dtype: str, deterministic: bool) -> None:
    image, positions = torch.zeros(2, 64, 32, 32, dtype=DTYPES[dtype]), torch.zeros(2, 2, 16, 24)
    grad_output = image.new_zeros(2, 64, 16, 24)
    with Traffic() as traffic:
        sampling._differentiate_input(NoKernels(), grad_output, image, positions, 0, True)
    if deterministic:
        expected = AROUND_PIXELS * 2 * 16 * 24 + AROUND_CELLS * (2 * 33 * 33 + 1)
    else:
        expected = AROUND_SUMS[dtype] * image.numel()
    assert traffic.bytes == expected
