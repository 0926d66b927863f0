"""`pytest benchmarks`: every case is compared with the reference, and then timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks.compiled import compiled
from benchmarks.inputs import CASES, PASSES, SAMPLERS, Case
from benchmarks.operations import OURS, SEPARATE, STOCK, Operation, forward, forward_and_backward
from benchmarks.results import Results, row
from benchmarks.timing import page_faults, time_in_turns
from benchmarks.values import check, tensors_of


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_are_the_references_and_take(
    case: Case, results: Results, seconds_a_timing: float, pytestconfig: pytest.Config
) -> None:
    """Nothing is timed before its values were compared."""
    operations = contenders(case, with_compiled=not pytestconfig.getoption("--no-compile"))
    tensors, output_gradient = tensors_of(case)
    for name, operation in operations.items():
        if name == "ours" or case.dtype == torch.float32:  # a stock form is the same function in every dtype
            check(case, name, (forward(operation, tensors),))
            check(case, name, forward_and_backward(operation, tensors, output_gradient))
    for passes in PASSES:
        calls = {name: call(operation, tensors, output_gradient, passes) for name, operation in operations.items()}
        if case.op in SAMPLERS and passes == "forward":
            calls["clone"] = tensors[0].clone
        timings = time_in_turns(calls, seconds_a_timing)
        results.rows.append(row(case, passes, timings, page_faults(calls["ours"]), results.limits))


def contenders(case: Case, with_compiled: bool) -> dict[str, Operation]:
    """Ours, and what it is compared with."""
    operations = {"ours": OURS[case.op], "stock": STOCK[case.op]}
    if with_compiled and (operation := compiled(case)) is not None:
        operations["compiled"] = operation
    if case.op in SEPARATE:
        operations["separate"] = SEPARATE[case.op]
    return operations


def call(
    operation: Operation, tensors: tuple[torch.Tensor, ...], output_gradient: torch.Tensor, passes: str
) -> Callable[[], object]:
    """One pass of an operation, as a function without arguments."""
    if passes == "forward":
        return lambda: forward(operation, tensors)
    return lambda: forward_and_backward(operation, tensors, output_gradient)
