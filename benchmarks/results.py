"""One row a case and pass, and the file of a whole run."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.inputs import Case
from benchmarks.machine import Limits
from benchmarks.roofline import limit
from benchmarks.timing import Timing

CONTENDERS = ("ours", "stock", "compiled", "separate", "clone")
COMMENT = "# "


@dataclass(frozen=True)
class Row:
    """Times are medians in milliseconds; None where a contender was not timed."""

    op: str
    passes: str
    batch: int
    channels: int
    height: int
    width: int
    dtype: str
    layout: str
    ours_ms: float
    stock_ms: float
    compiled_ms: float | None  # the stock form under torch.compile
    separate_ms: float | None  # warp_correlation as grid_sample, then correlation, of ours
    clone_ms: float | None  # torch.clone of the input
    ours_calls: int
    stock_calls: int
    stock_over_ours: float
    compiled_over_ours: float | None
    gflop: float
    megabytes: float
    limit_ms: float
    limited_by: str
    fraction_of_limit: float
    page_faults: int | None  # of a call for which all memory is new
    page_fault_share: float | None  # of the time of such a call


def row(case: Case, passes: str, timings: dict[str, Timing], page_faults: int | None, limits: Limits) -> Row:
    """Put a case's timings in relation to each other and to the limit."""
    seconds = {name: timing.seconds for name, timing in timings.items()}
    least = limit(case, passes, limits)
    faulting = None if page_faults is None else page_faults * limits.fault_seconds
    times: dict[str, Any] = {f"{name}_ms": seconds[name] * 1e3 if name in seconds else None for name in CONTENDERS}
    return Row(
        **{name: getattr(case, name) for name in ("op", "batch", "channels", "height", "width", "layout")},
        passes=passes,
        dtype=case.dtype_name,
        **times,
        ours_calls=timings["ours"].calls,
        stock_calls=timings["stock"].calls,
        stock_over_ours=seconds["stock"] / seconds["ours"],
        compiled_over_ours=seconds["compiled"] / seconds["ours"] if "compiled" in seconds else None,
        gflop=case.flops(passes) * 1e-9,
        megabytes=case.bytes(passes) * 1e-6,
        limit_ms=least.seconds * 1e3,
        limited_by=least.limited_by,
        fraction_of_limit=least.seconds / seconds["ours"],
        page_faults=page_faults,
        page_fault_share=None if faulting is None else faulting / (seconds["ours"] + faulting),
    )


@dataclass(frozen=True)
class Results:
    """A run: where it was made, with the limits measured, and its rows."""

    machine: dict[str, Any]
    limits: Limits
    rows: list[Row]

    def write(self, path: Path) -> None:
        """Write a CSV file."""
        columns = [field.name for field in fields(Row)]
        write_table(path, {**self.machine, **asdict(self.limits)}, columns, map(asdict, self.rows))

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what `write` wrote."""
        header, table = read_table(path)
        limits = Limits(
            header.pop("peak"),
            {int(size): value for size, value in header.pop("copy_bandwidth").items()},
            header.pop("fault_seconds"),
        )
        return cls(header, limits, [_row_from_text(entry) for entry in table])


def write_table(path: Path, header: dict[str, Any], columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write a CSV file; what describes the run stands before the table, a comment line for each entry."""
    with path.open("w", newline="") as file:
        for name, value in header.items():
            file.write(f"{COMMENT}{name}: {json.dumps(value)}\n")
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows({name: _text(value) for name, value in entry.items()} for entry in rows)


def read_table(path: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Header and rows of what `write_table` wrote."""
    lines = path.read_text().splitlines()
    comments = [line.removeprefix(COMMENT).split(": ", 1) for line in lines if line.startswith(COMMENT)]
    table = csv.DictReader(line for line in lines if not line.startswith(COMMENT))
    return {name: json.loads(value) for name, value in comments}, list(table)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _row_from_text(entry: dict[str, str]) -> Row:
    readers: dict[str, Any] = {"int": int, "float": float, "str": str}
    values: dict[str, Any] = {
        field.name: readers[str(field.type).split(" | ")[0]](text) if (text := entry[field.name]) else None
        for field in fields(Row)
    }
    return Row(**values)
