"""What this machine can do at most: arithmetic, memory, and the price of a page fault; and what it is."""

from __future__ import annotations

import ctypes
import datetime
import os
import platform
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.timing import Clock, give_memory_back, minor_faults, seconds
from tryon_kernels.libraries import variants

PEAK_SOURCE = Path(__file__).with_name("fma_peak.cpp")
PEAK_SECONDS = 0.01  # length of one run of the loop: short, so that some meet no other process
MATRIX_SIZE = 512
COPY_SIZES = tuple(2**power for power in range(16, 29, 2))  # bytes read and written, 64 KiB to 256 MiB
COPIED_BYTES = 2**31  # of all copies of one size together
MOST_COPIES = 1000
FRESH_BYTES = 2**26
PEAK_RUNS = 100
REPETITIONS = 5
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Limits:
    """Measured limits, with all threads that torch uses."""

    peak: dict[str, float]  # by dtype name, floating-point operations a second
    copy_bandwidth: dict[int, float]  # by bytes read and written, bytes a second
    fault_seconds: float  # wall time of one page fault


def measure() -> Limits:
    """Take about ten seconds to find the limits."""
    peak = fma_peak()
    # A CPU may have products of bfloat16 that are faster than its float32 ones; torch's matrix product uses them.
    peaks = {"fp32": peak, "bf16": max(peak, matrix_peak(torch.bfloat16))}
    return Limits(peaks, {size: copy_bandwidth(size) for size in COPY_SIZES}, fault_seconds())


def fma_peak() -> float:
    """Float32 operations a second of fused multiply-adds in registers, one loop a thread, the best of several runs."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "fma_peak.so")
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        subprocess.run(
            [*compiler, "-O2", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", PEAK_SOURCE, "-o", library],
            check=True,
        )
        loop = ctypes.CDLL(str(library))
    loop.multiply_add.argtypes, loop.multiply_add.restype = [ctypes.c_long, ctypes.c_float], ctypes.c_float
    loop.operations.argtypes, loop.operations.restype = [ctypes.c_long], ctypes.c_double
    threads = torch.get_num_threads()
    repetitions = 1_000_000
    with ThreadPoolExecutor(threads) as pool:

        def run() -> float:
            return seconds(lambda: list(pool.map(lambda _: loop.multiply_add(repetitions, 0.5), range(threads))))

        repetitions = round(repetitions * PEAK_SECONDS / run())
        return threads * loop.operations(repetitions) / min(run() for _ in range(PEAK_RUNS))


def matrix_peak(
    dtype: torch.dtype, size: int = MATRIX_SIZE, device: torch.device = CPU, clock: Clock = seconds
) -> float:
    """Operations a second of torch's product of square matrices, the best of several runs."""
    a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    out = a @ b
    return 2 * size**3 / _best(lambda: torch.mm(a, b, out=out), REPETITIONS, clock)


def copy_bandwidth(size: int, device: torch.device = CPU, clock: Clock = seconds) -> float:
    """Bytes read and written a second by torch's copy of `size` / 2 bytes that were just used, the best of many."""
    source = torch.ones(size // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    repetitions = min(max(COPIED_BYTES // size, REPETITIONS), MOST_COPIES)
    return size / _best(lambda: target.copy_(source), repetitions, clock)


def fault_seconds() -> float:
    """Wall time of a page fault: of filling new memory, less that of filling used memory, for each fault."""
    return median(_fault_seconds() for _ in range(REPETITIONS))


def _fault_seconds() -> float:
    give_memory_back()
    memory = torch.empty(FRESH_BYTES, dtype=torch.uint8)
    before = minor_faults()
    new = seconds(lambda: memory.fill_(1))
    faults = minor_faults() - before
    used = seconds(lambda: memory.fill_(1))
    return (new - used) / max(faults, 1)


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def describe(allocator: str) -> dict[str, Any]:
    """Where and with what a run was made."""
    return {
        "machine": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "torch": torch.__version__,
        "kernels": f"C++, {variants().chosen}" if variants().chosen else "stock torch: not compiled",
        "allocator": allocator,
        "date": datetime.date.today().isoformat(),
    }


def _best(call: Callable[[], object], repetitions: int, clock: Clock) -> float:
    return min(clock(call) for _ in range(repetitions))
