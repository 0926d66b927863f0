"""Hold one backend's kernels to the float64 reference on a device, in every way in which calls reach a GPU."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tryon_kernels as tk

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kernels"))  # what the tests draw from is checked here
from kernel_inputs import (
    DTYPES,
    LAYOUTS,
    Case,
    Result,
    assert_within_rounding,
    features,
    flow_to,
    grid_to,
    positions,
    run,
    sample_inputs,
    to_device,
    with_dtype,
)
from unwritten_memory import unwritten_shows

MOST_SECONDS = 1800  # of one op's checks: then a kernel hangs. Triton's compiler takes most of the time.
FAILURES_KEPT = 5
REPETITIONS = 10  # of what must give the same bits
CONTENDED = (2, 64, 128, 96)  # N x C x H x W
CONTENDED_IN_DRY_RUN = (1, 4, 16, 12)
SLEEP_CYCLES = 100_000_000  # of a GPU's clock: some 50 ms
OPTIONS: dict[str, tuple[Any, ...]] = {
    "warp": ("border",),
    "grid_sample": ("zeros", False),
    "correlation": (3, 1, 0.1, True),
    "warp_correlation": (3, 0.1, "border", True),
}

Attempts = Iterable[tuple[str, Callable[[], None]]]  # what it is, and a function that raises an error if it is wrong


@dataclass(frozen=True)
class Part:
    """One kind of check of one op: how many passed, and what the first that did not said."""

    backend: str
    op: str
    name: str
    passed: int = 0
    failed: int = 0
    first_failures: tuple[str, ...] = ()
    skipped: str = ""  # why it was left out

    def __str__(self) -> str:
        if self.skipped:
            return f"{self.backend} {self.op}, {self.name}: skipped: {self.skipped}"
        lines = [f"{self.backend} {self.op}, {self.name}: {self.passed} passed, {self.failed} failed"]
        return "\n    ".join([*lines, *self.first_failures])


def failing(backend: str, op: str, name: str, reason: str) -> Part:
    """A part that failed as a whole."""
    return Part(backend, op, name, failed=1, first_failures=(reason,))


def attempt_all(backend: str, op: str, name: str, attempts: Attempts) -> Part:
    """Try everything, whatever fails."""
    passed, failures = 0, []
    for label, attempt in attempts:
        try:
            attempt()
            passed += 1
        except Exception as error:  # what a kernel makes go wrong may be any
            failures.append(f"{label}: {first_line(error)}")
    return Part(backend, op, name, passed, len(failures), tuple(failures[:FAILURES_KEPT]))


def first_line(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def check_op(backend: str, op: str, device: torch.device, few: bool, dtypes: Sequence[torch.dtype]) -> list[Part]:
    """All parts for an op in some dtypes; `few` takes some of the cases only."""
    parts = []
    with tk.use_backend(backend):
        for deterministic in (True, False):
            mode = f"{_names(dtypes)}, {'deterministic' if deterministic else 'default'}"
            with unwritten_shows(deterministic):
                parts.append(attempt_all(backend, op, f"values, {mode}", _values(op, device, few, dtypes)))
                for name, check in (("graph", _replayed), ("side stream", _on_side_stream)):
                    if device.type == "cuda":
                        attempts = _some_cases(op, dtypes, partial(check, device=device))
                        parts.append(attempt_all(backend, op, f"{name}, {mode}", attempts))
                if deterministic or op == "correlation":  # its gradients are the same bits in any case
                    parts.append(attempt_all(backend, op, f"same bits, {mode}", _repeated(op, device, few, dtypes)))
    return parts


def _names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)


def _values(op: str, device: torch.device, few: bool, dtypes: Sequence[torch.dtype]) -> Attempts:
    """Every case in the dtypes and every memory layout."""
    for case in sample_inputs(op)[:: 5 if few else 1]:
        for dtype in dtypes:
            for layout in list(LAYOUTS)[: 2 if few else None]:
                yield f"{case} {dtype} {layout}", partial(_compare, case, dtype, layout, device)


def _compare(case: Case, dtype: torch.dtype, layout: str, device: torch.device) -> None:
    case = with_dtype(case, dtype).mapped(LAYOUTS[layout])
    grad_output = LAYOUTS[layout](case.output_gradient())
    result = run(case.public, case.tensors, grad_output, device)
    assert result.output.dtype == dtype, f"the output is {result.output.dtype}"
    assert_within_rounding(case, result, grad_output)


def _repeated(op: str, device: torch.device, few: bool, dtypes: Sequence[torch.dtype]) -> Attempts:
    """A size at which many threads add to the same few places."""
    for dtype in dtypes:
        for layout in ("contiguous", "channels_last"):
            label = f"{op} {dtype} {layout}"
            yield label, partial(_repeat, contended(op, few), dtype, layout, device)


def _repeat(case: Case, dtype: torch.dtype, layout: str, device: torch.device) -> None:
    case = with_dtype(case, dtype).mapped(LAYOUTS[layout])
    grad_output = LAYOUTS[layout](case.output_gradient())
    first = run(case.public, case.tensors, grad_output, device)
    assert_within_rounding(case, first, grad_output)
    for repetition in range(1, REPETITIONS):
        again = run(case.public, case.tensors, grad_output, device)
        assert torch.equal(again.output, first.output), f"run {repetition}: another output"
        for index, (gradient, before) in enumerate(zip(again.gradients, first.gradients, strict=True)):
            assert torch.equal(gradient, before), f"run {repetition}: another gradient of tensor {index}"


def contended(op: str, few: bool = False) -> Case:
    """A case of which all samples lie around the same 4 x 4 pixels."""
    count, channels, height, width = CONTENDED_IN_DRY_RUN if few else CONTENDED
    first, second = (features(count, channels, height, width, seed=seed) for seed in (0, 1))
    at = positions(count, height, width, (4, 4), reach=0.5)
    grid = grid_to(at, (height, width), align_corners=op == "warp_correlation")
    tensors = {
        "warp": (first, flow_to(at)),
        "grid_sample": (first, grid),
        "correlation": (first, second),
        "warp_correlation": (first, second, grid),
    }[op]
    return Case(op, "contended", tensors, OPTIONS[op])


def _some_cases(op: str, dtypes: Sequence[torch.dtype], check: Callable[[Case, Tensor], None]) -> Attempts:
    for case in [case for case in sample_inputs(op) if case.tensors[0].numel() > 0][:3]:
        for dtype in dtypes:
            lowered = with_dtype(case, dtype)
            yield f"{lowered} {dtype}", partial(check, lowered, lowered.output_gradient())


def _replayed(case: Case, grad_output: Tensor, device: torch.device) -> None:
    """A graph that was captured with other numbers than it is replayed with."""
    leaves = [to_device(tensor, device).clone().neg_().requires_grad_() for tensor in case.tensors]
    gradient = to_device(grad_output, device)

    def step() -> tuple[Tensor, ...]:
        output = case.public(*leaves)
        return output.detach(), *torch.autograd.grad(output, leaves, gradient)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # compiles what is not compiled yet, which a capture must not do
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output, *gradients = step()
    for leaf, tensor in zip(leaves, case.tensors, strict=True):
        leaf.detach().copy_(tensor)
    for result in (output, *gradients):
        result.fill_(torch.nan)
    graph.replay()
    assert_within_rounding(case, Result(output.cpu(), tuple(result.cpu() for result in gradients)), grad_output)


def _on_side_stream(case: Case, grad_output: Tensor, device: torch.device) -> None:
    """Inputs that become right late on a side stream: a kernel launched on another one finds zeros."""
    source = [to_device(tensor, device) for tensor in case.tensors]
    leaves = [torch.zeros_like(tensor).requires_grad_() for tensor in source]
    gradient = to_device(grad_output, device)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(SLEEP_CYCLES)
        for leaf, tensor in zip(leaves, source, strict=True):
            leaf.detach().copy_(tensor)
        output = case.public(*leaves)
        gradients = torch.autograd.grad(output, leaves, gradient)
        result = Result(output.detach().cpu(), tuple(gradient.cpu() for gradient in gradients))
    torch.cuda.synchronize()
    assert_within_rounding(case, result, grad_output)


def check_apart(
    backend: str,
    ops: Sequence[str],
    device: torch.device,
    few: bool,
    one_thread: bool = False,
    dtypes: Sequence[torch.dtype] = DTYPES,
) -> list[Part]:
    """`check_op` of some ops and dtypes in a process of its own, which a wrong access or a hanging kernel ends.

    Beside others it is to have one thread: threads that wait for each other on cores that all of them want get nowhere.
    """

    def failed(reason: str) -> list[Part]:
        return [failing(backend, op, f"values, {_names(dtypes)}", reason) for op in ops]

    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_parts, args=(sender, backend, ops, device, few, one_thread, dtypes))
    process.start()
    sender.close()
    try:
        if not receiver.poll(MOST_SECONDS):
            return failed(f"not done after {MOST_SECONDS} s")
        return receiver.recv()
    except EOFError:
        process.join()
        status = process.exitcode
        return failed(f"the process ended with status {status}")
    finally:
        process.kill()
        process.join()


def _send_parts(
    sender: Connection,
    backend: str,
    ops: Sequence[str],
    device: torch.device,
    few: bool,
    one_thread: bool,
    dtypes: Sequence[torch.dtype],
) -> None:
    if one_thread:
        torch.set_num_threads(1)
    try:
        parts = [part for op in ops for part in check_op(backend, op, device, few, dtypes)]
    except Exception as error:
        parts = [failing(backend, op, f"values, {_names(dtypes)}", first_line(error)) for op in ops]
    sender.send(parts)
