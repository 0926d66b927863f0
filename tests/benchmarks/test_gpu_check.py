from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch

from benchmarks import gpu_results
from benchmarks.gpu_check import part_of_pytest, run_replays, run_tests
from benchmarks.gpu_timing import IN_DRY_RUN, Measurement, host_clock
from benchmarks.gpu_values import Part, attempt_all, check_apart, unwritten_shows
from benchmarks.inputs import DTYPES, OPS, PASSES, Case, cases
from benchmarks.machine import Limits
from benchmarks.operations import OURS
from benchmarks.results import read_table
from benchmarks.timing import SLOW

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
LIMITS = Limits(dict.fromkeys(DTYPES, 1e12), {2**20: 1e11}, 0.0)
CASE = Case("warp", 1, 3, 6, 5, "fp32", "NCHW")


def gpu_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu_check", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so() -> None:
    result = gpu_check()
    assert result.returncode == 2
    assert result.stdout.startswith("gpu-check: torch ")
    assert "finds no GPU" in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_a_dry_run_goes_through_all_that_needs_no_gpu(tmp_path: Path) -> None:
    result = gpu_check("--dry-run", "--results", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "CUDA graphs, side streams: skipped: there is no GPU" in result.stdout
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("dry-run-")
    assert f"wrote {path}" in result.stdout
    header, rows = read_table(path)
    assert header["dry_run"] is True
    assert header["torch"] == torch.__version__
    assert header["matrix_flop_per_second"].keys() == DTYPES.keys()
    assert header["copy_bytes_per_second"] > 0
    assert header["notes"] == []
    values = header["values"]["cpp"]
    assert values["failed"] == 0
    assert values["first_failures"] == []
    assert values["passed"] > 300
    assert len(rows) == len(PASSES) * len(cases(DTYPES, [(8, 6)], 8, [(16, 12)]))
    assert {row["op"] for row in rows} == set(OPS)
    for row in rows:
        ratio = float(row["stock_ms"]) / float(row["cpp_ms"])
        assert float(row["stock_over_cpp"]) == pytest.approx(ratio, rel=1e-3)
        fraction = float(row["limit_ms"]) / float(row["cpp_ms"])
        assert float(row["cpp_fraction_of_limit"]) == pytest.approx(fraction, rel=1e-3)
        assert row["compiled_ms"] == ""
        two_ways = row["op"] != "correlation" and row["passes"] != "forward"
        assert (row["cpp_same_bits_ms"] != "") == two_ways


def test_what_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = OURS["warp"]
    monkeypatch.setitem(OURS, "warp", lambda input, flow: right(input, flow) + 0.1)
    measured = Measurement(["cpp"], CPU, host_clock, IN_DRY_RUN, LIMITS)
    measured.add(CASE, measured.contenders(CASE, lambda *_: True, with_compiled=False))
    (part,) = measured.parts()
    assert (part.passed, part.failed) == (0, 1)
    assert "output of cpp is off by 0.1" in part.first_failures[0]
    assert [row["passes"] for row in measured.rows] == list(PASSES)
    assert all("cpp_ms" not in row and row["stock_ms"] > 0 for row in measured.rows)


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_deterministic_calls_are_compared_and_compiled_before_they_are_timed(
    off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, times = OURS["warp"], []

    def slow_at_first(input: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        if not torch.are_deterministic_algorithms_enabled():
            return right(input, flow)
        time.sleep(0 if times else SLOW)
        times.append(time.perf_counter())
        return right(input, flow) + off

    monkeypatch.setitem(OURS, "warp", slow_at_first)
    measured = Measurement(["cpp"], CPU, host_clock, IN_DRY_RUN, LIMITS)
    measured.add(CASE, measured.contenders(CASE, lambda *_: True, with_compiled=False))
    _, both = measured.rows
    if off:
        (part,) = measured.parts()
        assert "output of cpp_same_bits is off by 0.1" in part.first_failures[0]
        assert not {"cpp_ms", "cpp_same_bits_ms"} & both.keys()
    else:
        assert both["cpp_same_bits_ms"] < 1e3 * SLOW
        assert both["cpp_same_bits_calls"] > 1


def test_what_torch_cannot_compile_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_compiling(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler\nmore of it")

    from benchmarks import compiled

    monkeypatch.setitem(compiled.COMPILED, "warp", not_compiling)
    measured = Measurement(["cpp"], CPU, host_clock, IN_DRY_RUN, LIMITS)
    for _ in range(2):
        case = Case("warp", 4, 3, 6, 5, "fp32", "NCHW")
        measured.add(case, measured.contenders(case, lambda *_: True, with_compiled=True))
    assert measured.notes == ["compiled is left out: warp-4x3x6x5-fp32-NCHW: RuntimeError: no compiler"]
    assert len(measured.rows) == 4


def test_failures_are_counted_and_the_first_are_kept() -> None:
    def fail(number: int) -> None:
        assert number < 3, f"{number} is wrong"

    part = attempt_all("cpp", "warp", "values", [(f"case {i}", lambda i=i: fail(i)) for i in range(10)])
    assert (part.passed, part.failed) == (3, 7)
    assert part.first_failures[0] == "case 3: AssertionError: 3 is wrong"
    assert len(part.first_failures) == 5
    summary = gpu_results.values_for_header([part, part])["cpp"]
    assert (summary["passed"], summary["failed"]) == (6, 14)


def test_checks_that_raise_fail_the_ops_they_were_for() -> None:
    (part,) = check_apart("slow", ["warp"], CPU, few=True)
    assert (part.backend, part.op, part.failed) == ("slow", "warp", 1)
    assert "expected one of auto, stock, eager" in part.first_failures[0]


@pytest.mark.parametrize("tests", [partial(run_tests, "cuda"), run_replays], ids=["kernels", "replays"])
@pytest.mark.parametrize(("processes", "threads"), [(12, "1"), (1, "7")])
def test_what_runs_beside_others_has_one_thread(
    tests: Callable[[int], list[Part]], processes: int, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with mock.patch.object(
        subprocess, "run", return_value=mock.Mock(stdout="1 passed", stderr="", returncode=0)
    ) as run:
        (part,) = tests(processes)
    assert part.passed == 1
    assert all((ROOT / argument).exists() for argument in run.call_args.args[0] if argument.startswith("tests"))
    assert run.call_args.kwargs["env"]["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize("deterministic", [True, False])
def test_unwritten_output_shows(deterministic: bool) -> None:
    with unwritten_shows(deterministic):
        assert torch.empty(3).isnan().all()
        assert torch.empty_like(torch.zeros(2, 2)).isnan().all()
        assert torch.zeros(1).new_empty(4).isnan().all()
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("output", "status", "passed", "failed", "first"),
    [
        ("...\n1856 passed, 26 skipped in 40.00s", 0, 1856, 0, None),
        ("FAILED tests/a.py::b - x\n1 failed, 3 passed, 2 errors in 1.00s", 1, 3, 3, "FAILED tests/a.py::b - x"),
        ("ImportError: hypothesis", 4, 0, 1, "exit status 4: ImportError: hypothesis"),
        ("", -11, 0, 1, "exit status -11: "),
    ],
)
def test_the_outcome_of_pytest_is_read(output: str, status: int, passed: int, failed: int, first: str | None) -> None:
    part = part_of_pytest("cuda", "pytest", output, status)
    assert (part.passed, part.failed) == (passed, failed)
    assert next(iter(part.first_failures), None) == first
