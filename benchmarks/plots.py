"""Two plots of a run: the roofline, and how much longer the stock forms take."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from benchmarks.inputs import IMAGES, OPS, PASSES, PYRAMID
from benchmarks.results import Results, Row

BATCH, DTYPE, LAYOUT = 4, "fp32", "channels_last"  # what is drawn; the table has the rest
COLOURS = dict(zip(OPS, ("#0072b2", "#56b4e9", "#d55e00", "#009e73"), strict=True))
FILLED = {"forward": True, "forward+backward": False}


def paths(table: Path) -> tuple[Path, Path]:
    """Where the roofline and the ratios of a run are drawn."""
    return table.with_name(f"{table.stem}-roofline.png"), table.with_name(f"{table.stem}-ratios.png")


def draw(results: Results, table: Path) -> tuple[Path, Path]:
    """Draw both plots beside the run's table."""
    roofline_path, ratios_path = paths(table)
    rows = [e for e in results.rows if (e.batch, e.dtype, e.layout) == (BATCH, DTYPE, LAYOUT)]
    title = f"{results.machine['machine']}, threads: {results.machine['threads']}, torch {results.machine['torch']}"
    what = f"batch {BATCH}, {DTYPE}, {LAYOUT}"
    figure, axes = plt.subplots(figsize=(10, 6.5), layout="constrained")
    _roofline(axes, results, rows)
    axes.set_title(f"{title}\n{what}; a point's size grows with its image", fontsize=10)
    figure.savefig(roofline_path, dpi=110)
    plt.close(figure)

    figure, panels = plt.subplots(2, len(OPS), figsize=(15, 7), layout="constrained", sharey=True, squeeze=False)
    for line, passes in zip(panels, PASSES, strict=True):
        for panel, op in zip(line, OPS, strict=True):
            _ratios(panel, [e for e in rows if (e.op, e.passes) == (op, passes)])
            panel.set_title(f"{op}, {passes}", fontsize=10)
        line[0].set_ylabel("time of the stock form, ours = 1")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    figure.suptitle(f"{title}; {what}", fontsize=10)
    figure.savefig(ratios_path, dpi=110)
    plt.close(figure)
    return roofline_path, ratios_path


def _roofline(axes: Axes, results: Results, rows: list[Row]) -> None:
    """Speed over arithmetic intensity, both logarithmic, under the roofs of arithmetic and memory."""
    peak = results.limits.peak[DTYPE]
    bandwidths = results.limits.copy_bandwidth
    intensity = np.geomspace(0.3, 60, 200)
    memory, cache = bandwidths[max(bandwidths)], max(bandwidths.values())
    for bandwidth, style, name in ((cache, ":", "copy within a cache"), (memory, "-", "copy in memory")):
        roof = np.minimum(intensity * bandwidth, peak) * 1e-9
        axes.plot(intensity, roof, style, color="black", linewidth=1.3, label=f"{name}: {bandwidth * 1e-9:.0f} GB/s")
    axes.plot([], [], " ", label=f"fused multiply-adds: {peak * 1e-9:.0f} GFLOP/s")
    sizes = sorted({e.height * e.width for e in rows})
    for e in rows:
        colour = COLOURS[e.op]
        axes.scatter(
            e.gflop / e.megabytes * 1e3,
            e.gflop / e.ours_ms * 1e3,
            s=20 + 22 * sizes.index(e.height * e.width),
            marker="o" if e.channels > 3 else "s",
            facecolors=colour if FILLED[e.passes] else "none",
            edgecolors=colour,
            alpha=0.85,
            zorder=3,
        )
    for op, colour in COLOURS.items():
        axes.scatter([], [], color=colour, label=op)
    axes.scatter([], [], marker="s", color="grey", label="images of 3 channels")
    axes.scatter([], [], facecolors="none", edgecolors="grey", label="hollow: forward+backward")
    axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="GFLOP/s")
    axes.grid(which="both", alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)


def _ratios(axes: Axes, rows: list[Row]) -> None:
    """Bars of stock and compiled stock for every size."""
    rows = sorted(rows, key=lambda e: (*PYRAMID, *IMAGES).index((e.height, e.width)))
    places = np.arange(len(rows))
    for shift, name, colour in ((-0.2, "stock", "#999999"), (0.2, "compiled", "#e69f00")):
        ratios = [getattr(e, f"{name}_over_ours") or 0 for e in rows]
        label = {"stock": "stock, eager", "compiled": "stock, torch.compile"}[name]
        for bar, ratio in zip(axes.bar(places + shift, ratios, 0.4, color=colour, label=label), ratios, strict=True):
            if ratio:
                axes.annotate(f"{ratio:.2g}", (bar.get_x() + 0.2, ratio), ha="center", va="bottom", fontsize=7)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_xticks(places, [f"{e.height}x{e.width}" for e in rows], rotation=30, fontsize=8)
    axes.grid(axis="y", which="both", alpha=0.25)
