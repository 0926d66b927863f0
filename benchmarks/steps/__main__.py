"""`python -m benchmarks.steps`: a step of each stage beside its published form, on a GPU where there is one."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.steps.process import BATCH, PLAIN
from benchmarks.steps.turns import SIZE, begin_stages, steps_in_turns
from tryon.precision import multiplies_bfloat16
from tryon.stages import STAGES

ROUNDS = 5


def main() -> None:
    """Print a line for each form of each stage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--stage", choices=STAGES, action="append", help="(default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed steps of each form, in turns (%(default)s)")
    given = parser.parse_args()
    forms = (
        ["fp32", "bf16", "fp16"] if given.device != "cpu" else ["fp32", "bf16"] if multiplies_bfloat16() else ["fp32"]
    )
    print(f"{SIZE[0]} x {SIZE[1]}, batch {BATCH}, torch {torch.__version__}, {given.device}")
    with tempfile.TemporaryDirectory() as folder:
        data, run = begin_stages(Path(folder))
        for stage in given.stage or STAGES:
            steps = steps_in_turns(stage, forms, data, run, given.rounds, given.device)
            plain = steps[PLAIN]
            for form, ours in steps.items():
                times = f"{ours.seconds * 1e3:.1f} ms, {plain.seconds / ours.seconds:.1f} x as fast as published"
                print(
                    f"{stage}, {form}: {times}; {ours.peak_gb:.2f} GB, {ours.peak_gb / plain.peak_gb:.0%}", flush=True
                )


if __name__ == "__main__":
    main()
