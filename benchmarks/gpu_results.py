"""The file that a run on a GPU leaves, and what is shown of it."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_timing import SAME_BITS
from benchmarks.gpu_values import FAILURES_KEPT, Part
from benchmarks.inputs import IMAGES, PYRAMID
from benchmarks.machine import Limits, cpu_name
from benchmarks.results import write_table

SHOWN_SIZES = (PYRAMID[3], IMAGES[1])
SHOWN = (("fp32", "NCHW"), ("bf16", "channels_last"))


def describe(device: torch.device) -> dict[str, Any]:
    """The device, and the versions of all that takes part."""
    described: dict[str, Any] = {"device": cpu_name()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        described = {
            "device": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            "l2_cache_bytes": properties.L2_cache_size,
        }
    return {
        **described,
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "torch": torch.__version__,
        "cuda_of_torch": torch.version.cuda or torch.version.hip,
        "triton": _version_of_triton(),
        "nvcc": _version_of_nvcc(),
        "host": f"{cpu_name()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def _version_of_triton() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return triton.__version__


def _version_of_nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME")
    return _first_line(str(Path(home, "bin/nvcc")) if home else "nvcc", "--version", containing="release")


def _first_line(*command: str, containing: str = "") -> str | None:
    """The first line of a command's output that contains a word; None where there is no such command."""
    if shutil.which(command[0]) is None:
        return None
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return next((line.strip() for line in output.splitlines() if containing in line), None)


def limits_for_header(limits: Limits, launch: dict[str, float]) -> dict[str, Any]:
    """The measured limits."""
    ((size, speed),) = limits.copy_bandwidth.items()
    return {
        "matrix_flop_per_second": {name: float(f"{peak:.5g}") for name, peak in limits.peak.items()},
        "copy_bytes_per_second": float(f"{speed:.5g}"),
        "copied_bytes_read_and_written": size,
        "launch_seconds": {name: float(f"{value:.3g}") for name, value in launch.items()},
    }


def values_for_header(parts: Iterable[Part]) -> dict[str, Any]:
    """For each backend how many values were right and wrong, what was left out, and the first failures."""
    summary: dict[str, Any] = {}
    for part in parts:
        entry = summary.setdefault(part.backend, {"passed": 0, "failed": 0, "first_failures": [], "skipped": []})
        entry["passed"] += part.passed
        entry["failed"] += part.failed
        entry["first_failures"] += [f"{part.op}, {part.name}: {failure}" for failure in part.first_failures]
        if part.skipped:
            entry["skipped"].append(f"{part.op}, {part.name}: {part.skipped}")
    for entry in summary.values():
        del entry["first_failures"][4 * FAILURES_KEPT :]
    return summary


def columns(backends: Sequence[str]) -> list[str]:
    """Columns of the table: times are medians in milliseconds, empty where a contender was not timed."""
    contenders = (*backends, *(f"{name}_{SAME_BITS}" for name in backends), "stock", "compiled")
    return [
        *("op", "passes", "batch", "channels", "height", "width", "dtype", "layout"),
        *(f"{name}_ms" for name in contenders),
        *(f"{stock}_over_{name}" for name in backends for stock in ("stock", "compiled")),
        *(f"{name}_fraction_of_limit" for name in backends),
        *("limit_ms", "limited_by", "gflop", "megabytes"),
        *(f"{name}_back_to_back_ms" for name in contenders),
        *(f"{name}_calls" for name in contenders),
    ]


def write(
    folder: Path, header: dict[str, Any], backends: Sequence[str], rows: Iterable[dict[str, Any]], dry_run: bool
) -> Path:
    """Write the results, named after device and date; the file written."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", header["device"].lower()).strip("-")
    path = folder / f"{'dry-run-' if dry_run else ''}{name}-{header['date']}.csv"
    write_table(path, header, columns(backends), rows)
    return path


def table(rows: Sequence[dict[str, Any]], backends: Sequence[str]) -> str:
    """The largest batch at a size or two in two dtypes and layouts; of a dry run's sizes, the last."""
    batch = max((row["batch"] for row in rows), default=0)
    sizes = {(row["height"], row["width"]) for row in rows}
    shown_sizes = sizes & set(SHOWN_SIZES) or sizes
    shown = [
        row
        for row in rows
        if row["batch"] == batch
        and (row["height"], row["width"]) in shown_sizes
        and (row["dtype"], row["layout"]) in SHOWN
    ]
    header = ["", "features", *(f"{name} ms (of limit)" for name in backends), "stock ms", "compiled ms"]
    lines = [header, *(_line(row, backends) for row in shown)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _line(row: dict[str, Any], backends: Sequence[str]) -> list[str]:
    shape = "x".join(str(row[name]) for name in ("batch", "channels", "height", "width"))
    ours = (
        f"{row[f'{name}_ms']:.4g} ({row[f'{name}_fraction_of_limit']:.0%})" if f"{name}_ms" in row else "-"
        for name in backends
    )
    stock = (f"{row[f'{name}_ms']:.4g}" if f"{name}_ms" in row else "-" for name in ("stock", "compiled"))
    return [f"{row['op']}, {row['passes']}", f"{shape} {row['dtype']} {row['layout']}", *ours, *stock]
