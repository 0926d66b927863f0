from __future__ import annotations

import gc
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tryon.config import TrainConfig
from tryon.engine import train_stage

BLOCKS, LARGER = 20, 3
# A process of its own, for what is asked of the C library holds until the process ends.
PROGRAM = f"""
import resource
import torch
from tryon.engine.memory import keep_freed_memory, return_freed_memory

BYTES = 40 << 20  # glibc's threshold for a mapping of its own grows to 32 MiB
FEW = 10  # pages; it takes 20 of 2 MiB

def has_new_pages(size=BYTES):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(size, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > FEW

given_back = sum(has_new_pages() for _ in range({BLOCKS}))
assert keep_freed_memory()
kept = sum(has_new_pages() for _ in range({BLOCKS}))

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

before = resident()
assert return_freed_memory()
returned = before - resident()
larger = 12 * BYTES  # than any hole that the heap has by now
print(given_back, kept, sum(has_new_pages(larger) for _ in range({LARGER})), returned >= BYTES)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory")
def test_blocks_that_were_freed_are_there_for_the_next_ones_or_given_back() -> None:
    """Kept are all but the first, and one for each small object that settles on a freed block's end: up to three."""
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    given_back, kept, given_back_again, all_returned = result.stdout.split()
    assert int(given_back) == BLOCKS
    assert int(given_back_again) == LARGER
    assert int(kept) <= BLOCKS // 2
    assert all_returned == "True"


def test_a_stage_that_has_ended_leaves_none_of_its_tensors_to_the_next(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    def tensors() -> int:
        return sum(isinstance(one, torch.Tensor) for one in gc.get_objects())

    gc.collect()
    before = tensors()
    train_stage("tutor-warp", replace(tiny_config, out=tmp_path))
    assert tensors() <= before
