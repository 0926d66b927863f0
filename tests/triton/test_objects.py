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

# Of 4 warps, on a multiprocessor at a time. Sampling inside the gradient's loop takes the registers of one more.
FEWEST_BLOCKS = {name: 2 if name == "warp_correlation, gradient of second" else 3 for name in KERNELS}
# What all blocks of a multiprocessor share. NVIDIA: of 128 threads each; the memory is sm_120's, the least of these
# GPUs. AMD: a block of 4 waves has one on each of the 4 units, which have so many registers for a lane.
REGISTERS = {"cuda": 65536 // 128, "hip": 512}
SHARED_BYTES = {"cuda": 100 * 1024, "hip": 64 * 1024}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_keeps_its_numbers_in_registers_and_leaves_room_for_other_blocks(
    name: str, dtype: torch.dtype, target: str
) -> None:
    code = compiled(name, dtype, TARGETS[target])
    assert code.spilled_bytes == 0
    assert code.registers * FEWEST_BLOCKS[name] <= REGISTERS[TARGETS[target].backend]
    assert code.shared_bytes * FEWEST_BLOCKS[name] <= SHARED_BYTES[TARGETS[target].backend]
    check_instructions(name, dtype, target, code)


def check_instructions(name: str, dtype: torch.dtype, target: str, code: Code) -> None:
    nvidia = target.startswith("sm_")
    if "correlation" in name and dtype != torch.float32:
        assert ("HMMA" if nvidia else "v_mfma") in code.text
    if name in ("sample", "correlation", "correlation, gradient of first", "correlation, gradient of second"):
        assert re.search(r"LDG(STS)?\.E\.(\w+\.)*128" if nvidia else "load_dwordx4", code.text)
