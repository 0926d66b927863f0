"""Curves, and the pictures of the cases in which the tutor fails most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tryon.data.folder import TryOnFolder
from tryon.engine.log import read_log
from tryon.engine.pictures import contact_sheet
from tryon.engine.plot import new_figure, save_figure, thinned
from tryon.experiments.results import Results, tutor_at
from tryon.experiments.tables import COLUMNS
from tryon.files import whole_file
from tryon.models import TryOnModel
from tryon.small import dressed_columns

PANEL = (3.6, 3.0)  # inches
PER_ROW = 4
POINTS = 40  # of a loss, so that seven curves beside one another can be told apart


def draw_curves(results: Results, logs: Mapping[str, Mapping[str, Path]], out: Path) -> None:
    """Draw every measure by the noise of the test people's parsing, and the losses of the first seed.

    Args:
        results: of the experiment.
        logs: log file by stage and model.
        out: PNG file.
    """
    panels = len(COLUMNS) + len(logs)
    rows = -(-panels // PER_ROW)
    figure = new_figure(PANEL[0] * PER_ROW, PANEL[1] * rows)
    places = iter(figure.subplots(rows, PER_ROW).flat)
    levels = results.settings.noise_levels
    colours = {variant.name: f"C{number + 1}" for number, variant in enumerate(results.settings.variants)}
    for measure, title, _, more in COLUMNS:
        axes = next(places)
        seeds = np.array([results.means(tutor_at(level), "unpaired", measure) for level in levels])
        axes.fill_between(levels, seeds.min(axis=1), seeds.max(axis=1), color="black", alpha=0.15, linewidth=0)
        axes.plot(levels, seeds.mean(axis=1), color="black", marker=".", label="tutor")
        for name, colour in colours.items():
            axes.axhline(results.means(name, "unpaired", measure).mean(), color=colour, linewidth=1.2, label=name)
        axes.set_title(f"{title} ({'more' if more else 'less'} is better)", loc="left", fontsize=8)
        axes.set_xlabel("noise of the test parsing", fontsize=7)
    for stage, files in logs.items():
        axes = next(places)
        for model, path in files.items():
            columns = read_log(path)
            # Guidance differs in what is distilled, so that is left out of what is compared.
            distilled = [values for name, values in columns.items() if "distilled" in name]
            loss = np.array(columns["loss"]) - np.sum(distilled, axis=0)
            steps, loss = thinned(columns["step"], POINTS), thinned(list(loss), POINTS)
            axes.plot(steps, loss, color=colours.get(model, "black"), linewidth=1.0)
        axes.set_title(f"{stage}: loss without distillation", loc="left", fontsize=8)
        axes.set_xlabel("step", fontsize=7)
        axes.set_yscale("log")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for axes in places:
        axes.axis("off")
        axes.legend(handles, labels, loc="center", fontsize=8)
    for axes in figure.axes:
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    save_figure(figure, out)


def draw_sheet(results: Results, models: Mapping[str, tuple[TryOnModel, TryOnFolder]], out: Path) -> None:
    """Show what models make of the unpaired test people with whom the tutor, at the training's noise, is worst by SSIM.

    Args:
        results: of the experiment.
        models: with the folder whose people they are shown, by title.
        out: PNG file.
    """
    scores = results.values(tutor_at(results.settings.training_noise), "unpaired", "ssim").mean(axis=0)
    pairs = results.pairs("unpaired")
    worst = [pairs[index] for index in np.argsort(scores, kind="stable")[: results.settings.shown]]
    with whole_file(out) as file:
        contact_sheet(dressed_columns(models, worst)).save(file, "PNG")
