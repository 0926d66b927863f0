"""What reading costs beside training: samples a second of one reading process, and of the shortest stage."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from time import perf_counter

from benchmarks.steps.process import BATCH, our_step
from benchmarks.steps.turns import SIZE, begin_stages
from tryon.data.folder import TryOnFolder
from tryon.data.loader import BatchDraws, training_batches
from tryon.precision import multiplies_bfloat16

STAGE = "tutor-warp"
BATCHES, STEPS = 25, 2


def test_one_process_reads_more_than_training_takes(tmp_path: Path) -> None:
    """Reading is timed alone, as on a machine with a core for it."""
    data, run = begin_stages(tmp_path)
    folder = TryOnFolder(data, "train")
    batches = training_batches(folder, BatchDraws(len(folder.people), BATCH, seed=0), workers=1)
    next(batches)
    start = perf_counter()
    for _ in islice(batches, BATCHES):
        pass
    read = BATCHES * BATCH / (perf_counter() - start)
    step = our_step(STAGE, "bf16" if multiplies_bfloat16() else "fp32", folder, run, "cpu")
    step()
    start = perf_counter()
    for _ in range(STEPS):
        step()
    taken = STEPS * BATCH / (perf_counter() - start)
    print(f"{SIZE[0]} x {SIZE[1]}: one process reads {read:.0f} samples a second, {STAGE} takes {taken:.1f}")
    assert read >= taken
