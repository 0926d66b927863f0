"""`make gpu-check`: is everything right on this machine's GPU, and how fast is it?

Values of both sets of GPU kernels are checked, then what was right is timed, and one file in benchmarks/results/ says
all of it. The exit status is 0 where all values were right, 1 where one was not or kernels are missing, and 2 where
nothing could be tried. Torch >= 2.10, Triton and nvcc are all it needs; no network.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import torch

from benchmarks import gpu_results
from benchmarks.gpu_timing import (
    IN_DRY_RUN,
    ON_GPU,
    EventClock,
    Measurement,
    host_clock,
    launch_seconds,
    measure_limits,
)
from benchmarks.gpu_values import DTYPES as VALUE_DTYPES
from benchmarks.gpu_values import FAILURES_KEPT, Part, check_apart, failing
from benchmarks.inputs import BATCHES, DTYPES, OPS, Case, cases
from tryon_kernels.availability import missing
from tryon_kernels.gpu.choice import NAMES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
STAND_IN = "cpp"  # what takes the place of the GPU kernels in a dry run
REPLAYED = "replayed steps and pictures"
REPLAY_TESTS = ("tests/tryon/test_passes.py", "tests/tryon/test_replay.py")
PYTEST_SECONDS = 3600
MOST_PROCESSES = 12  # each has the GPU's context, of some 0.5 GB


def main() -> int:
    """Run all of it; the exit status."""
    given = arguments()
    dry_run = given.dry_run
    if not dry_run and not torch.cuda.is_available():
        print(f"gpu-check: torch {torch.__version__} finds no GPU (--dry-run goes through it without one)")
        return 2
    device = torch.device("cpu") if dry_run else torch.device("cuda", torch.cuda.current_device())
    if dry_run:
        torch.set_num_threads(1)
        say("torch.compile: skipped: there is no GPU")
    wanted = [STAND_IN] if dry_run else [name for name in NAMES if name not in given.leave_out]
    header = {"dry_run": dry_run, **gpu_results.describe(device), "left_out": given.leave_out}
    for name, value in header.items():
        say(f"{name}: {value}")

    parts = check_values(wanted, device, dry_run, not given.no_pytest, given.processes)
    there = [name for name in wanted if missing(name) is None]
    clock = host_clock if dry_run else EventClock(device)
    scale = IN_DRY_RUN if dry_run else ON_GPU
    limits, launch = measure_limits(device, clock, scale), launch_seconds(device, clock)
    header |= gpu_results.limits_for_header(limits, launch)
    say(f"limits: {gpu_results.limits_for_header(limits, launch)}")

    measured = Measurement(there, device, clock, scale, limits)
    if given.no_timing:
        say("timing: skipped: --no-timing")
    else:
        asked = [case for case in timed_cases(dry_run, given.dtype or DTYPES) if case.batch in (given.batch or BATCHES)]
        measure(measured, parts, asked, with_compiled=not (dry_run or given.no_compile))
    parts += measured.parts()
    header |= {
        "timing": "wall clock" if dry_run else "CUDA events, medians of calls in turns, L2 cache flushed before each",
        "back_to_back": "wall clock of calls that follow each other, nothing flushed",
        "compiled": "torch.compile(dynamic=True) of the stock form",
        "values": gpu_results.values_for_header(parts),
        "notes": measured.notes,
    }
    path = gpu_results.write(given.results, header, there, measured.rows, dry_run)
    return conclude(header, measured, parts, there, path)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help=f"on the CPU, {STAND_IN} in the GPU kernels' place")
    parser.add_argument("--leave-out", choices=NAMES, action="append", default=[], help="kernels not to be checked")
    parser.add_argument("--results", type=Path, help=f"folder of the file (default: {RESULTS.relative_to(ROOT)})")
    parser.add_argument("--processes", type=int, default=default_processes(), help="checks at a time (%(default)s)")
    parser.add_argument("--no-pytest", action="store_true", help="leave out the tests of the kernels")
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="time these only (default: all)")
    parser.add_argument("--batch", type=int, choices=BATCHES, action="append", help="time these only (default: all)")
    parser.add_argument("--no-timing", action="store_true", help="check values only")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes minutes")
    given = parser.parse_args()
    if given.dry_run and given.results is None:
        parser.error("--dry-run: wants a folder for its file, by --results")
    given.results = given.results or RESULTS
    return given


def say(text: str) -> None:
    """Print with the time since the start, at once."""
    print(f"[{time.perf_counter() - START:6.1f} s] {text}", flush=True)


START = time.perf_counter()


def default_processes() -> int:
    """How many checks there are at a time: compiling takes most of their time."""
    return min(os.cpu_count() or 1, MOST_PROCESSES)


def check_values(
    wanted: Sequence[str], device: torch.device, dry_run: bool, with_pytest: bool, processes: int
) -> list[Part]:
    """All checks of all backends, some at a time."""
    parts: list[Part] = []

    def add(*more: Part) -> None:
        parts.extend(more)
        for part in more:
            say(str(part))

    checks: list[Callable[[], list[Part]]] = []
    absent = [name for name in ("pytest", "hypothesis") if importlib.util.find_spec(name) is None]
    no_tests = f"{' and '.join(absent)} not installed" if absent else "" if with_pytest else "--no-pytest"
    no_replays = "there is no GPU" if dry_run else no_tests
    if no_replays:
        add(Part("auto", "all", REPLAYED, skipped=no_replays))
    else:
        checks.append(partial(run_replays, processes))
    for backend in wanted:
        reason = missing(backend)
        if reason is not None:
            add(failing(backend, "all", "is there", f"{reason} (--leave-out {backend} does without it)"))
            continue
        if dry_run:
            add(Part(backend, "all", "CUDA graphs, side streams", skipped="there is no GPU"))
            add(Part(backend, "all", "pytest", skipped="make test does it without a GPU"))
        elif no_tests:
            add(Part(backend, "all", "pytest", skipped=no_tests))
        else:
            checks.append(partial(run_tests, backend, processes))
        # What compiles takes minutes, so it is shared out; in a dry run a process takes longest to start.
        shares = [(OPS, VALUE_DTYPES)] if dry_run else [((op,), (dtype,)) for op in OPS for dtype in VALUE_DTYPES]
        for ops, dtypes in shares:
            check = partial(check_apart, backend, ops, device, few=dry_run, dtypes=dtypes)
            checks.append(partial(check, one_thread=processes > 1))
    with ThreadPoolExecutor(processes) as pool:
        for done in as_completed([pool.submit(check) for check in checks]):
            add(*done.result())
    return parts


def run_tests(backend: str, processes: int) -> list[Part]:
    """The tests of a backend's kernels, on the GPU."""
    return [_pytest(backend, "pytest", ["tests/kernels"], {"TRYON_KERNELS_TEST_BACKEND": backend}, processes)]


def run_replays(processes: int) -> list[Part]:
    """The tests that steps and pictures replayed from a CUDA graph are those launched kernel by kernel."""
    return [_pytest("auto", REPLAYED, REPLAY_TESTS, {}, processes)]


def _pytest(backend: str, name: str, tests: Sequence[str], variables: dict[str, str], processes: int) -> Part:
    """Tests in a process of their own, with one thread where others run beside them."""
    command = [sys.executable, "-m", "pytest", *tests, "-q"]
    if importlib.util.find_spec("xdist") is not None:
        command += ["--numprocesses", str(max(processes // 2, 1))]
    environment = {**os.environ, **variables}
    if processes > 1:
        environment["OMP_NUM_THREADS"] = "1"
    try:
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PYTEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return failing(backend, "all", name, f"not done after {PYTEST_SECONDS} s")
    return part_of_pytest(backend, name, result.stdout + result.stderr, result.returncode)


def part_of_pytest(backend: str, name: str, output: str, status: int) -> Part:
    """What pytest's last lines say."""
    lines = output.splitlines() or [""]
    passed, failed, errors = (
        sum(map(int, re.findall(rf"(\d+) {word}\b", lines[-1]))) for word in ("passed", "failed", "errors?")
    )
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))][:FAILURES_KEPT]
    failed += errors
    if status != 0 and failed == 0:
        failed, failures = 1, [f"exit status {status}: {lines[-1]}"]
    return Part(backend, "all", name, passed, failed, tuple(failures))


def measure(measured: Measurement, parts: Sequence[Part], asked: Sequence[Case], with_compiled: bool) -> None:
    """Time the cases; of our kernels those of ops whose values were right."""
    wrong = {(part.backend, part.op) for part in parts if part.failed and part.op in OPS}
    measured.notes += [f"{op} of {backend} is not timed, for its values are wrong" for backend, op in sorted(wrong)]
    before: tuple[object, ...] = ()
    for case in asked:
        if before != (before := (case.op, case.channels, case.height, case.width)):
            say(f"timing {case.op} of {case.channels}x{case.height}x{case.width}")
        contenders = measured.contenders(case, lambda *backend_and_op: backend_and_op not in wrong, with_compiled)
        measured.add(case, contenders)


def timed_cases(dry_run: bool, dtypes: Iterable[str]) -> list[Case]:
    """The cases of the benchmarks, in dtypes that a GPU computes with."""
    return cases(dtypes, pyramid=[(8, 6)], channels=8, images=[(16, 12)]) if dry_run else cases(dtypes)


def conclude(
    header: dict[str, object], measured: Measurement, parts: Sequence[Part], there: Sequence[str], path: Path
) -> int:
    """Print what came out; the exit status."""
    print()
    print(gpu_results.table(measured.rows, there))
    print()
    for note in measured.notes:
        print(f"note: {note}")
    skipped = [part for part in parts if part.skipped]
    failed = [part for part in parts if part.failed]
    for part in (*skipped, *failed):
        print(part)
    counts = f"{sum(part.passed for part in parts)} values right, {sum(part.failed for part in parts)} wrong"
    print(f"{'DRY RUN on the CPU: ' if header['dry_run'] else ''}{header['device']}: {counts}")
    print(f"wrote {path}")
    return 1 if failed or not there else 0


if __name__ == "__main__":
    sys.exit(main())
