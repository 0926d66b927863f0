"""A contender: `python -m benchmarks.steps.process FORM STAGE DATA RUN` takes a step for each line that it is sent.

It answers with a line of JSON: seconds, losses, and the most memory that the process has had, in GB.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from torch import Tensor

from benchmarks.plain.copies import plain_form
from benchmarks.plain.stages import optimiser_of, train_step
from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Sample, stack
from tryon.engine.loop import _Run
from tryon.engine.memory import keep_freed_memory
from tryon.precision import LOWERED

PLAIN = "plain"
RECOMPUTING = " --recompute"  # after a precision
BATCH = 4
SEED = 3
KIB_A_GB = 1e9 / 1024

Step = Callable[[], dict[str, Tensor] | dict[str, float]]


def first_batch(data: TryOnFolder) -> Sample:
    """The same people for every contender."""
    return stack([data.read_sample(data.people[i], data.people[i + 1]) for i in range(BATCH)])


def begun(stage: str, form: str, data: TryOnFolder, run: Path) -> _Run:
    """Our training in the second half of a stage. All begin from one seed."""
    config = TrainConfig(
        data=data.root,
        out=run,
        batch=BATCH,
        steps=2,
        seed=SEED,
        precision=form.removesuffix(RECOMPUTING),
        recompute=form.endswith(RECOMPUTING),
        device="cpu",
    )
    training = _Run(stage, config, data)
    training.stage.start_half(True)
    return training


def published_step(stage: str, data: TryOnFolder, run: Path) -> Step:
    """The plain form, with our weights."""
    plain = plain_form(begun(stage, "fp32", data, run).stage)
    optimiser, sample = optimiser_of(plain, True), first_batch(data)
    return lambda: train_step(plain, optimiser, sample, True)


def our_step(stage: str, form: str, data: TryOnFolder, run: Path) -> Step:
    """As `tryon train` takes it."""
    keep_freed_memory()
    training, sample = begun(stage, form, data, run), first_batch(data)
    training.stage.freeze(LOWERED[training.config.precision])
    return lambda: training._take_step(repeat(sample), second_half=True)[1]


def main() -> None:
    """Answer each line with a step."""
    form, stage, data, run = sys.argv[1:]
    folder = TryOnFolder(Path(data), "train")
    step = published_step(stage, folder, Path(run)) if form == PLAIN else our_step(stage, form, folder, Path(run))
    for _ in sys.stdin:
        start = time.perf_counter()
        losses = step()
        taken = time.perf_counter() - start
        answer = {
            "seconds": taken,
            "losses": {name: float(loss) for name, loss in losses.items()},
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_GB,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
