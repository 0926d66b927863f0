"""Loss curves of a run, drawn with matplotlib, an extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tryon.engine.log import LOG_FILE, read_log
from tryon.errors import InputError
from tryon.files import whole_file
from tryon.stages import STAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (9.0, 3.2)  # inches
DOTS_PER_INCH = 110
POINTS = 400  # that a curve is thinned to, each the mean of the steps around it
FEW = 20  # points that are marked: a line has no width where there is one
TOTAL = "loss"


def plot_losses(run: Path, out: Path) -> None:
    """Draw the losses of every stage that a run folder has a log of, one panel a stage, as PNG.

    Raises:
        InputError: there is no log, a log is damaged, or matplotlib is not installed.
    """
    logs = {name: read_log(run / name / LOG_FILE) for name in STAGES if (run / name / LOG_FILE).exists()}
    logs = {name: columns for name, columns in logs.items() if columns.get("step")}
    if not logs:
        raise InputError(f"{run}: found no {LOG_FILE} of a stage with a step in it, wanted a run folder")
    figure = new_figure(PANEL[0], PANEL[1] * len(logs))
    for axes, (name, columns) in zip(figure.subplots(len(logs), squeeze=False)[:, 0], logs.items(), strict=True):
        _draw(axes, name, columns)
    save_figure(figure, out)


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches. InputError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "matplotlib: found no such package, wanted it to plot; pip install tryon-kernels[plot]"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, out: Path) -> None:
    """Write a figure as PNG."""
    with whole_file(out) as file:
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


def _draw(axes: Axes, name: str, columns: dict[str, list[float]]) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    steps = thinned(columns["step"])
    axes.set_prop_cycle(color=[colormaps["tab20"](number) for number in range(20)])
    for term, values in columns.items():
        if term != "step":
            total = term == TOTAL
            style: dict[str, Any] = {"color": "black", "linewidth": 1.8} if total else {"linewidth": 1.0}
            if len(steps) < FEW:
                style["marker"] = "."
            axes.plot(steps, thinned(values), label=term, **style)
    axes.set_title(name, loc="left")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)


def thinned(values: list[float], points: int = POINTS) -> NDArray[np.float64]:
    """No more than so many means of neighbours."""
    pieces = np.array_split(np.asarray(values), min(points, len(values)))
    return np.array([piece.mean() for piece in pieces])
