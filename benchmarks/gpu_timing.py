"""Time our kernels on a GPU beside torch's own operations, and find the GPU's limits, by CUDA events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

import tryon_kernels as tk
from benchmarks.gpu_values import FAILURES_KEPT, Part, first_line
from benchmarks.inputs import BATCHES, DTYPES, PASSES, Case
from benchmarks.machine import Limits, copy_bandwidth, matrix_peak
from benchmarks.operations import OURS, STOCK, Operation, forward, forward_and_backward
from benchmarks.roofline import limit
from benchmarks.timing import Clock, Timing, seconds, time_in_turns
from benchmarks.values import check, tensors_of

COMPILED_DTYPES = ("fp32", "bf16")  # compiling takes most of a run's time, so it is done in these and the larger batch
POSITIONED = ("warp", "grid_sample", "warp_correlation")
SAME_BITS = "same_bits"  # of deterministic calls: `torch.use_deterministic_algorithms`
LEAST_FLUSHED = 2**27  # bytes
BACK_TO_BACK_SECONDS = 0.01
MOST_BACK_TO_BACK = 100


@dataclass(frozen=True)
class Scale:
    """How much is measured: a GPU's work, or a dry run's."""

    matrix_size: int
    copied: int  # bytes read and written
    budget: float  # seconds for all contenders of one case and pass


ON_GPU = Scale(8192, 2**31, 0.08)
IN_DRY_RUN = Scale(128, 2**20, 0.001)


@dataclass(frozen=True)
class Call:
    """A call to be timed, with the backend that serves it; None leaves that as it is.

    Of a deterministic one the results are the same bits each time.
    """

    function: Callable[[], object]
    backend: str | None
    deterministic: bool = False

    def __call__(self) -> object:
        """Make the call."""
        return self.function()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Where the backend serves: entered before the clock starts."""
        torch.use_deterministic_algorithms(self.deterministic)
        try:
            with nullcontext() if self.backend is None else tk.use_backend(self.backend):
                yield
        finally:
            torch.use_deterministic_algorithms(False)


class EventClock:
    """Time from one CUDA event to another around a call that finds the L2 cache full of other data.

    The host's work is hidden behind filling the cache, where it is shorter than that; where it is longer, it counts.
    """

    def __init__(self, device: torch.device) -> None:
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        self._other = torch.empty(max(4 * cache, LEAST_FLUSHED), dtype=torch.uint8, device=device)
        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def __call__(self, call: Callable[[], object]) -> float:
        """Seconds of one call."""
        with call.served() if isinstance(call, Call) else nullcontext():
            self._other.zero_()
            self._start.record()
            call()
            self._end.record()
        self._end.synchronize()
        return self._start.elapsed_time(self._end) * 1e-3


def host_clock(call: Callable[[], object]) -> float:
    """Seconds of one call, for a dry run."""
    with call.served() if isinstance(call, Call) else nullcontext():
        return seconds(call)


def back_to_back(call: Call, estimate: float, device: torch.device) -> float:
    """Wall-clock seconds of one of many calls that follow each other: of the host or the GPU, whichever is slower."""
    count = round(min(max(BACK_TO_BACK_SECONDS / estimate, 3), MOST_BACK_TO_BACK))
    with call.served():
        call()
        _synchronize(device)
        start = time.perf_counter()
        for _ in range(count):
            call()
        _synchronize(device)
    return (time.perf_counter() - start) / count


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_limits(device: torch.device, clock: Clock, scale: Scale) -> Limits:
    """Matrix rates (float32 without TF32) and copy bandwidth; a GPU has no page faults."""
    torch.backends.cuda.matmul.allow_tf32 = False
    peak = {name: matrix_peak(dtype, scale.matrix_size, device, clock) for name, dtype in DTYPES.items()}
    return Limits(peak, {scale.copied: copy_bandwidth(scale.copied, device, clock)}, 0.0)


def launch_seconds(device: torch.device, clock: Clock) -> dict[str, float]:
    """What the smallest kernel takes: alone, and one of many back to back."""
    one = torch.zeros(1, device=device)
    call = Call(one.zero_, None)
    alone = min(clock(call) for _ in range(20))
    return {"alone": alone, "back_to_back": back_to_back(call, BACK_TO_BACK_SECONDS / MOST_BACK_TO_BACK, device)}


def ways(name: str) -> tuple[str, str]:
    """The names of a contender's calls: of plain ones, and of deterministic ones where there are such."""
    return name, f"{name}_{SAME_BITS}"


class Measurement:
    """The rows of a run, with the values that were wrong and with what could not be timed."""

    def __init__(self, backends: list[str], device: torch.device, clock: Clock, scale: Scale, limits: Limits) -> None:
        self.backends, self.device, self.clock, self.scale, self.limits = backends, device, clock, scale, limits
        self.rows: list[dict[str, Any]] = []
        self._right = dict.fromkeys(backends, 0)
        self._wrong: dict[str, list[str]] = {name: [] for name in backends}
        self.notes: list[str] = []
        self._not_compiling: set[str] = set()

    def add(self, case: Case, contenders: dict[str, Operation]) -> None:
        """Compare a case's contenders with the reference, which compiles them, then time those that were right."""
        tensors, output_gradient = tensors_of(case, self.device)
        calls = {passes: self._calls(case, contenders, tensors, output_gradient, passes) for passes in PASSES}
        right = [name for name in contenders if self._is_right(case, name, calls)]
        for passes in PASSES if right else ():
            try:
                timed = [way for name in right for way in ways(name) if way in calls[passes]]
                self._time(case, passes, {way: calls[passes][way] for way in timed})
            except Exception as error:  # the rest of the run is worth having
                self.notes.append(f"{case}, {passes}: not timed: {first_line(error)}")

    def contenders(self, case: Case, right: Callable[[str, str], bool], with_compiled: bool) -> dict[str, Operation]:
        """Ours where the values of the op were right before, and torch's own."""
        contenders = {name: OURS[case.op] for name in self.backends if right(name, case.op)}
        contenders["stock"] = STOCK[case.op]
        if (
            with_compiled
            and case.op not in self._not_compiling
            and case.dtype_name in COMPILED_DTYPES
            and case.batch == max(BATCHES)
        ):
            from benchmarks.compiled import COMPILED  # loads torch's compiler

            contenders["compiled"] = COMPILED[case.op]
        return contenders

    def parts(self) -> list[Part]:
        """How many of the timed cases were compared with the reference before, and which were wrong."""
        return [
            Part(name, "all", "values of timed cases", self._right[name], len(wrong), tuple(wrong[:FAILURES_KEPT]))
            for name, wrong in self._wrong.items()
        ]

    def _calls(
        self,
        case: Case,
        contenders: dict[str, Operation],
        tensors: tuple[Tensor, ...],
        output_gradient: Tensor,
        passes: str,
    ) -> dict[str, Call]:
        def call(operation: Operation) -> Callable[[], object]:
            if passes == "forward":
                return lambda: (forward(operation, tensors),)
            return lambda: forward_and_backward(operation, tensors, output_gradient)

        calls = {
            name: Call(call(operation), name if name in self.backends else None)
            for name, operation in contenders.items()
        }
        if passes != "forward" and case.op in POSITIONED:  # a sampled image's gradient has two ways
            for name in [name for name in calls if name in self.backends]:
                _, same_bits = ways(name)
                calls[same_bits] = replace(calls[name], deterministic=True)
        return calls

    def _is_right(self, case: Case, name: str, calls: dict[str, dict[str, Call]]) -> bool:
        """Whether a contender may be timed; a stock form is the same function in every dtype."""
        ours = name in self.backends
        try:
            for passes, way in product(PASSES, ways(name)):
                if way not in calls[passes]:
                    continue
                with calls[passes][way].served():
                    results = calls[passes][way]()
                if ours or case.dtype == torch.float32:
                    check(case, way, results)
        except Exception as error:
            if ours:
                self._wrong[name].append(f"{case}: {first_line(error)}")
            else:
                self.notes.append(f"{name} is left out: {case}: {first_line(error)}")
            if name == "compiled":
                self._not_compiling.add(case.op)
            return False
        if ours:
            self._right[name] += 1
        return True

    def _time(self, case: Case, passes: str, calls: dict[str, Call]) -> None:
        timings = time_in_turns(dict(calls), self.scale.budget, self.clock)
        repeated = {name: back_to_back(call, timings[name].seconds, self.device) for name, call in calls.items()}
        self.rows.append(self._row(case, passes, timings, repeated))

    def _row(self, case: Case, passes: str, timings: dict[str, Timing], repeated: dict[str, float]) -> dict[str, Any]:
        least = limit(case, passes, self.limits)
        row: dict[str, Any] = {
            name: getattr(case, name) for name in ("op", "batch", "channels", "height", "width", "layout")
        }
        row |= {"passes": passes, "dtype": case.dtype_name}
        row |= {"limit_ms": least.seconds * 1e3, "limited_by": least.limited_by}
        row |= {"gflop": case.flops(passes) * 1e-9, "megabytes": case.bytes(passes) * 1e-6}
        for name, timing in timings.items():
            row[f"{name}_ms"] = timing.seconds * 1e3
            row[f"{name}_back_to_back_ms"] = repeated[name] * 1e3
            row[f"{name}_calls"] = timing.calls
        for name in timings.keys() & set(self.backends):
            row[f"{name}_fraction_of_limit"] = least.seconds / timings[name].seconds
            for stock in timings.keys() & {"stock", "compiled"}:
                row[f"{stock}_over_{name}"] = timings[stock].seconds / timings[name].seconds
        return row
