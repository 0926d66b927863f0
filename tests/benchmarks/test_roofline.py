from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.inputs import CASES, RADIUS, Case
from benchmarks.machine import Limits
from benchmarks.results import Results, row
from benchmarks.roofline import bandwidth, limit
from benchmarks.timing import SETTLING, Timing, time_in_turns

LIMITS = Limits({"fp32": 100e9, "bf16": 400e9}, {2**16: 50e9, 2**20: 20e9, 2**24: 10e9}, 1e-6)


def case(op: str, channels: int = 8, height: int = 5, width: int = 4, dtype_name: str = "fp32") -> Case:
    return Case(op, 2, channels, height, width, dtype_name, "NCHW")


def test_the_arithmetic_of_a_correlation_is_a_multiply_add_for_each_channel_and_pair_of_pixels_inside() -> None:
    ones = torch.ones(2, 8, 5, 4)
    pairs = sum(
        1
        for y in range(5)
        for x in range(4)
        for dy in range(-RADIUS, RADIUS + 1)
        for dx in range(-RADIUS, RADIUS + 1)
        if 0 <= y + dy < 5 and 0 <= x + dx < 4
    )
    assert case("correlation").flops("forward") == 2 * ones.numel() // 20 * pairs
    assert case("correlation").flops("forward+backward") == 3 * case("correlation").flops("forward")


def test_the_arithmetic_of_a_fused_operation_is_that_of_its_parts() -> None:
    for passes in ("forward", "forward+backward"):
        parts = (case(op).flops(passes) for op in ("grid_sample", "correlation"))
        assert case("warp_correlation").flops(passes) == sum(parts)


def test_a_fused_operation_moves_less_than_its_parts() -> None:
    for passes in ("forward", "forward+backward"):
        parts = (case(op, 256).bytes(passes) for op in ("grid_sample", "correlation"))
        assert case("warp_correlation", 256).bytes(passes) < sum(parts)


def test_the_bytes_of_a_warp_are_its_tensors() -> None:
    image, flow = torch.empty(2, 8, 5, 4), torch.empty(2, 2, 5, 4)
    assert case("warp").bytes("forward") == 2 * image.nbytes + flow.nbytes
    assert case("warp").bytes("forward+backward") == 5 * image.nbytes + 3 * flow.nbytes
    assert case("warp", dtype_name="bf16").bytes("forward") == image.nbytes + flow.nbytes


def test_the_limit_is_the_longer_of_arithmetic_and_memory() -> None:
    wide = case("correlation", 256, 64, 48)
    assert limit(wide, "forward", LIMITS).limited_by == "arithmetic"
    assert limit(wide, "forward", LIMITS).seconds == wide.flops("forward") / 100e9
    image = case("warp", 3, 256, 192)
    assert limit(image, "forward", LIMITS).limited_by == "memory"
    assert limit(image, "forward", LIMITS).seconds == image.bytes("forward") / 20e9


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 50e9), (2**16, 50e9), (2**18, 50e9), (2**20, 20e9), (2**21, 20e9), (2**30, 10e9)]
)
def test_bandwidth_is_that_of_the_faster_measured_neighbour(size: int, expected: float) -> None:
    assert bandwidth(size, LIMITS.copy_bandwidth) == expected


def test_a_row_holds_ratios_and_the_share_of_page_faults() -> None:
    entry = row(case("warp"), "forward", {"ours": Timing(1e-3, 5), "stock": Timing(4e-3, 3)}, 1000, LIMITS)
    assert entry.stock_over_ours == 4
    assert entry.compiled_over_ours is None
    assert entry.page_fault_share == 0.5
    assert entry.fraction_of_limit == pytest.approx(entry.limit_ms)


def test_a_written_run_is_read_back(tmp_path: Path) -> None:
    timings = {"ours": Timing(2**-10, 5), "stock": Timing(2**-8, 3)}
    entry = row(case("correlation"), "forward", timings, None, LIMITS)
    run = Results({"machine": "one: of a kind", "threads": 2}, LIMITS, [entry])
    run.write(tmp_path / "run.csv")
    again = Results.read(tmp_path / "run.csv")
    assert (again.machine, again.limits) == (run.machine, run.limits)
    assert again.rows[0].page_faults is None
    assert again.rows[0].stock_over_ours == 4
    again.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "run.csv").read_text()


def test_contenders_take_turns() -> None:
    calls = []
    timings = time_in_turns({name: lambda name=name: calls.append(name) for name in "ab"}, budget=1.0)
    last = "".join(calls).rindex("a")
    assert "b" in calls[:last]
    assert timings["a"].calls == timings["b"].calls == 200


def test_calls_that_get_the_caches_back_do_not_count() -> None:
    slow, fast = SETTLING / 3, SETTLING / 10
    calls = []

    def clock(call: Callable[[], object]) -> float:
        call()
        return (
            slow if len(set(calls[-4:])) > 1 or len(calls) < 4 else fast
        )  # after another contender's call, three times

    contenders = {name: lambda name=name: calls.append(name) for name in "ab"}
    timings = time_in_turns(contenders, budget=2 * 10 * slow, clock=clock)
    assert timings["a"].seconds == timings["b"].seconds == fast


def test_every_case_is_there_once() -> None:
    assert len({str(case) for case in CASES}) == len(CASES) == 4 * 5 * 2 * 2 * 2 + 2 * 2 * 2 * 2 * 2
