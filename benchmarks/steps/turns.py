"""Contenders as processes that wait for their turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.steps.process import PLAIN, PROFILE, STEP
from tryon.data.synthetic import synthesize
from tryon.engine.passes import WARM_UP
from tryon.losses import PerceptualLoss
from tryon.stages import STAGES, Recipe
from tryon.weights import save_model

SIZE, WIDTH = (256, 192), 1.0
PEOPLE = 5


@dataclass(frozen=True)
class Steps:
    """Of one contender: median seconds of a step, the losses of its first, and its most memory in GB.

    On a CPU also the share of convolutions in a step's time.
    """

    seconds: float
    losses: Mapping[str, float]
    peak_gb: float
    convolutions: float | None


def begin_stages(folder: Path) -> tuple[Path, Path]:
    """Draw people, and save every stage as it begins, for those after it: the folders of both."""
    data, run = folder / "data", folder / "run"
    synthesize(data, train=PEOPLE, test=0, size=SIZE, seed=1)
    recipe = Recipe(run, SIZE, WIDTH, densepose=True, label_scheme="viton")
    perceptual = PerceptualLoss(None, WIDTH)
    for name, stage_type in STAGES.items():
        stage = stage_type(recipe, perceptual)
        save_model(run / name, stage.model, stage.record(0))
    return data, run


def steps_in_turns(
    stage: str, precisions: Sequence[str], data: Path, run: Path, rounds: int, device: str = "cpu"
) -> dict[str, Steps]:
    """The published form and ours: first steps, which are not timed, then `rounds` in turns."""
    untimed = 1 if device == "cpu" else WARM_UP + 2  # on a GPU, until a graph has been captured and replayed
    answers: dict[str, list[dict[str, Any]]] = {form: [] for form in (PLAIN, *precisions)}
    with ExitStack() as processes:
        contenders = {form: processes.enter_context(_process(form, stage, data, run, device)) for form in answers}
        for _ in range(untimed + rounds):
            for form, process in contenders.items():
                answers[form].append(_answer(form, process, STEP))
        profiled = contenders.items() if device == "cpu" else ()
        shares = {form: _answer(form, process, PROFILE) for form, process in profiled}
    return {form: _summed_up(given, untimed, shares.get(form)) for form, given in answers.items()}


def _answer(form: str, process: subprocess.Popen[str], line: str) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    if not (answer := process.stdout.readline()):
        raise RuntimeError(f"{form}: found no answer, wanted a {line}; the process says why above")
    return json.loads(answer)


def _process(form: str, stage: str, data: Path, run: Path, device: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.steps.process", form, stage, str(data), str(run), device]
    # Who waits for a turn must not spin.
    environment = {**os.environ, "GOMP_SPINCOUNT": "1000"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _summed_up(answers: Sequence[Mapping[str, Any]], untimed: int, convolutions: float | None) -> Steps:
    timed = answers[untimed:]
    seconds = median(answer["seconds"] for answer in timed)
    return Steps(seconds, answers[0]["losses"], timed[-1]["peak_gb"], convolutions)
