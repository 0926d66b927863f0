from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A process of its own, for what is asked of the C library holds until the process ends.
PROGRAM = """
import resource
import torch
from tryon.engine.memory import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(1 << 26, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

page_faults()
given_back = page_faults()
assert keep_freed_memory()
page_faults()
print(given_back, page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory")
def test_a_block_that_was_freed_is_there_for_the_next_one() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    given_back, kept = map(int, result.stdout.split())
    assert kept < 10 < given_back
