"""Tables and files of a run. `python -m benchmarks.report FILE.csv` makes its plots and docs/results.md again."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import plots
from benchmarks.inputs import DTYPES, IMAGES, LAYOUTS, OPS, PASSES, PYRAMID, SAMPLERS
from benchmarks.results import Results, Row

DOCUMENT = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- from the table of the run: python -m benchmarks.report -->", "<!-- end -->"
BATCH = 4  # of the tables; the file has every batch

# What the summary shows: operation, passes, height and width, dtype, layout.
HEADLINES = (
    ("correlation", "forward", (64, 48), "fp32", "NCHW"),
    ("correlation", "forward+backward", (64, 48), "fp32", "NCHW"),
    ("correlation", "forward+backward", (64, 48), "bf16", "channels_last"),
    ("warp_correlation", "forward+backward", (64, 48), "fp32", "NCHW"),
    ("warp", "forward", (128, 96), "fp32", "channels_last"),
    ("warp", "forward+backward", (128, 96), "fp32", "channels_last"),
    ("grid_sample", "forward+backward", (128, 96), "fp32", "NCHW"),
    ("grid_sample", "forward", (1024, 768), "fp32", "NCHW"),
)


def write(results: Results, folder: Path) -> list[Path]:
    """Write table and plots, named after machine and date; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{results.machine['machine']}-{results.machine['cores']}-cores".lower())
    path = folder / f"{name}-{results.machine['date']}.csv"
    results.write(path)
    return [path, *plots.draw(results, path)]


def summary(results: Results) -> str:
    """The headline rows that the run has, as a Markdown table."""
    rows = [entry for headline in HEADLINES for entry in results.rows if _key(entry) == (*headline, BATCH)]
    header = ("", "features", "ours", "stock", "torch.compile", "of the limit")
    return _table(header, [_headline(entry) for entry in rows]) if rows else "none of the cases of the summary ran"


def document(results: Results, path: Path) -> str:
    """All that docs/results.md shows of a run."""
    plot_names = [f"../benchmarks/results/{plot.name}" for plot in plots.paths(path)]
    parts = [
        _machine(results),
        "### In short",
        summary(results),
        f"![Roofline: every case against the machine's two limits]({plot_names[0]})",
        f"![Times of the stock forms, ours being 1]({plot_names[1]})",
        f"### Summed over the five feature sizes, batch {BATCH}, fp32",
        _sums(results),
        f"### Next to a copy: forward, batch {BATCH}, fp32, channels_last, 256 channels",
        _copies(results),
        f"### Fused and separate: warp_correlation, batch {BATCH}, fp32, NCHW",
        _fused(results),
        "### Page faults",
        _page_faults(results),
    ]
    for op in OPS:
        parts += [f"### {op}, batch {BATCH}", _cases(results, op)]
    return "\n\n".join(parts)


def _key(entry: Row) -> tuple[object, ...]:
    return entry.op, entry.passes, (entry.height, entry.width), entry.dtype, entry.layout, entry.batch


def _select(results: Results, **wanted: object) -> list[Row]:
    """Rows with these entries."""
    return [entry for entry in results.rows if all(getattr(entry, name) == value for name, value in wanted.items())]


def _headline(entry: Row) -> tuple[str, ...]:
    return (
        f"`{entry.op}`, {entry.passes}",
        f"{_shape(entry)} {entry.dtype} {entry.layout}",
        _ms(entry.ours_ms),
        f"{_ms(entry.stock_ms)} ({_times(entry.stock_over_ours)})",
        f"{_ms(entry.compiled_ms)} ({_times(entry.compiled_over_ours)})" if entry.compiled_ms else "",
        f"{entry.fraction_of_limit:.0%}",
    )


def _machine(results: Results) -> str:
    limits = results.limits
    entries = [f"{name}: {value}" for name, value in results.machine.items()]
    entries += [f"peak, {dtype}: {peak * 1e-9:.0f} GFLOP/s" for dtype, peak in limits.peak.items()]
    speeds = (f"{_size(size)} {speed * 1e-9:.0f}" for size, speed in sorted(limits.copy_bandwidth.items()))
    entries.append(f"copy bandwidth, GB/s by bytes read and written: {', '.join(speeds)}")
    entries.append(f"a page fault: {limits.fault_seconds * 1e9:.0f} ns")
    return "\n".join(f"- {entry}" for entry in entries)


def _sums(results: Results) -> str:
    lines = []
    for op in OPS:
        for passes in PASSES:
            for layout in LAYOUTS:
                rows = _select(results, op=op, passes=passes, layout=layout, dtype="fp32", batch=BATCH)
                rows = [entry for entry in rows if (entry.height, entry.width) in PYRAMID]
                if rows:
                    ours = sum(entry.ours_ms for entry in rows)
                    compiled = sum(entry.compiled_ms or 0 for entry in rows)
                    lines.append(
                        (
                            f"{op}, {passes}",
                            layout,
                            _ms(ours),
                            _times(sum(entry.stock_ms for entry in rows) / ours),
                            _times(compiled / ours) if compiled else "",
                            f"{sum(entry.limit_ms for entry in rows) / ours:.0%}",
                        )
                    )
    return _table(("", "layout", "ours", "stock", "torch.compile", "of the limit"), lines)


def _copies(results: Results) -> str:
    rows = [
        entry
        for entry in _select(results, passes="forward", dtype="fp32", layout="channels_last", batch=BATCH)
        if entry.op in SAMPLERS and (entry.height, entry.width) in PYRAMID and entry.clone_ms
    ]
    lines = [
        (entry.op, _shape(entry), _ms(entry.ours_ms), _ms(entry.clone_ms), f"{entry.ours_ms / entry.clone_ms:.2f}")
        for entry in rows
        if entry.clone_ms
    ]
    return _table(("", "features", "ours", "torch.clone", "ours over clone"), lines)


def _fused(results: Results) -> str:
    lines = []
    for entry in _select(results, op="warp_correlation", dtype="fp32", layout="NCHW", batch=BATCH):
        if entry.separate_ms is not None:
            ratio = _times(entry.separate_ms / entry.ours_ms)
            lines.append((entry.passes, _shape(entry), _ms(entry.ours_ms), _ms(entry.separate_ms), ratio))
    return _table(("", "features", "fused", "grid_sample, then correlation", ""), lines)


def _page_faults(results: Results) -> str:
    """For the largest sizes, where it matters most."""
    largest = (PYRAMID[-1], IMAGES[-1])
    rows = [
        entry
        for entry in _select(results, dtype="fp32", layout="NCHW", batch=BATCH)
        if (entry.height, entry.width) in largest and entry.page_fault_share is not None
    ]
    lines = [
        (f"{entry.op}, {entry.passes}", _shape(entry), f"{entry.page_faults}", f"{entry.page_fault_share:.0%}")
        for entry in rows
    ]
    return _table(("", "features", "faults of a call in new memory", "their share of its time"), lines)


def _cases(results: Results, op: str) -> str:
    """One line a size, pass and dtype; the layouts side by side."""
    columns = ("ours", "stock", "compile", "of limit")
    header = ("", "features", "dtype", *(f"{layout}: {column}" for layout in LAYOUTS for column in columns))
    rows = _select(results, op=op, batch=BATCH)
    lines = []
    for passes in PASSES:
        for dtype in DTYPES:
            for height, width in (*PYRAMID, *IMAGES):
                both = [
                    entry
                    for layout in LAYOUTS
                    for entry in rows
                    if _key(entry) == (op, passes, (height, width), dtype, layout, BATCH)
                ]
                if len(both) == len(LAYOUTS):
                    lines.append((passes, _shape(both[0]), dtype, *(cell for entry in both for cell in _cells(entry))))
    return _table(header, lines)


def _cells(entry: Row) -> tuple[str, ...]:
    return (
        _ms(entry.ours_ms),
        _times(entry.stock_over_ours),
        _times(entry.compiled_over_ours),
        f"{entry.fraction_of_limit:.0%}",
    )


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _shape(entry: Row) -> str:
    return f"{entry.batch} x {entry.channels} x {entry.height} x {entry.width}"


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.3g} ms"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3g} x"


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 2**20 else f"{count >> 10} KiB"


def main() -> None:
    """Draw a run's plots again and put its tables into docs/results.md."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("usage: python -m benchmarks.report FILE.csv (a table that `pytest benchmarks` wrote)")
    path = Path(sys.argv[1])
    results = Results.read(path)
    before, rest = DOCUMENT.read_text().split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{document(results, path)}\n\n{END}{rest.split(END)[1]}")
    for written in (*plots.draw(results, path), DOCUMENT):
        print(written)


if __name__ == "__main__":
    main()
