"""A contender: `python -m benchmarks.steps.process FORM STAGE DATA RUN DEVICE` takes a step for each line it is sent.

It answers with a line of JSON: seconds, losses, and the most memory that the process has had, in GB: the device's of a
GPU. After the line "profile" the step is profiled, and the answer is the share of its time in convolutions.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.plain.copies import plain_form
from benchmarks.plain.stages import optimiser_of, train_step
from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Sample, move, stack
from tryon.engine.loop import _Run
from tryon.engine.memory import return_freed_memory
from tryon.precision import LOWERED

PLAIN = "plain"
RECOMPUTING = " --recompute"  # after a precision
STEP, PROFILE = "step", "profile"  # what a line asks for
CONVOLUTION = "convolution"  # in the names of torch's operations
BATCH = 4
SEED = 3
KIB_A_GB = 1e9 / 1024

Step = Callable[[], dict[str, Tensor] | dict[str, float]]


def first_batch(data: TryOnFolder, device: str) -> Sample:
    """The same people for every contender."""
    return move(stack([data.read_sample(data.people[i], data.people[i + 1]) for i in range(BATCH)]), device)


def begun(stage: str, form: str, data: TryOnFolder, run: Path, device: str) -> _Run:
    """Our training of a stage. All begin from one seed."""
    config = TrainConfig(
        data=data.root,
        out=run,
        batch=BATCH,
        steps=2,
        seed=SEED,
        precision=form.removesuffix(RECOMPUTING),
        recompute=form.endswith(RECOMPUTING),
        device=device,
    )
    return _Run(stage, config, data)


def published_step(stage: str, data: TryOnFolder, run: Path, device: str) -> Step:
    """The plain form, with our weights."""
    ours = begun(stage, "fp32", data, run, device).stage
    ours.start_half(True)
    plain = plain_form(ours)
    optimiser, sample = optimiser_of(plain, True), first_batch(data, device)
    return lambda: train_step(plain, optimiser, sample, True)


def our_step(stage: str, form: str, data: TryOnFolder, run: Path, device: str) -> Step:
    """As `tryon train` takes it."""
    return_freed_memory()
    training, sample = begun(stage, form, data, run, device), first_batch(data, device)
    training.stage.freeze(LOWERED[training.config.precision])
    training._start_half(True)
    return lambda: training._take_step(repeat(sample))[1]


def peak_gb(device: str) -> float:
    """The most memory so far: of the process, or that tensors had on a GPU."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_GB


def convolution_share(step: Step) -> float:
    """Of a step on a CPU, the time in convolutions and their gradients: what only their library can make less."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    times = [(event.key, event.self_cpu_time_total) for event in profiled.key_averages()]
    return sum(time for name, time in times if CONVOLUTION in name) / sum(time for _, time in times)


def main() -> None:
    """Answer each line with a step."""
    form, stage, data, run, device = sys.argv[1:]
    folder = TryOnFolder(Path(data), "train")
    if form == PLAIN:
        step = published_step(stage, folder, Path(run), device)
    else:
        step = our_step(stage, form, folder, Path(run), device)
    for line in sys.stdin:
        if line.strip() == PROFILE:
            print(json.dumps(convolution_share(step)), flush=True)
            continue
        start = time.perf_counter()
        losses = {name: float(loss) for name, loss in step().items()}
        if device != "cpu":
            torch.accelerator.synchronize()
        taken = time.perf_counter() - start
        answer = {"seconds": taken, "losses": losses, "peak_gb": peak_gb(device)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
