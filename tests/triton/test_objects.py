"""What the Triton kernels' machine code must and must not have, compiled for GPUs that need not be there."""

from __future__ import annotations

import re

import pytest
import torch

from tryon_kernels.backends import INTERPRETED

pytest.importorskip("triton", reason="Triton is not installed")
if INTERPRETED:
    pytest.skip("Triton's interpreter compiles nothing", allow_module_level=True)

from triton_objects import DTYPES, KERNELS, TARGETS, Code, compiled

MOST_REGISTERS = 255  # of a thread
FEWEST_BLOCKS = 2  # on a multiprocessor at a time
SHARED_BYTES = 99 * 1024  # that a multiprocessor of the smallest of these GPUs, sm_120, gives one block at most
THREADS = 128
REGISTERS_OF_A_MULTIPROCESSOR = 65536


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_keeps_its_numbers_in_registers_and_leaves_room_for_another_block(
    name: str, dtype: torch.dtype, target: str
) -> None:
    code = compiled(name, dtype, TARGETS[target])
    assert code.spilled_bytes == 0
    assert code.registers * THREADS * FEWEST_BLOCKS <= REGISTERS_OF_A_MULTIPROCESSOR
    assert code.shared_bytes * FEWEST_BLOCKS <= SHARED_BYTES
    check_instructions(name, dtype, target, code)


def check_instructions(name: str, dtype: torch.dtype, target: str, code: Code) -> None:
    nvidia = target.startswith("sm_")
    if "correlation" in name and dtype != torch.float32:
        assert ("HMMA" if nvidia else "v_mfma") in code.text
    if name in ("sample", "correlation", "correlation, gradients"):
        assert re.search(r"LDG(STS)?\.E\.(\w+\.)*128" if nvidia else "load_dwordx4", code.text)
