"""What the Triton kernels' machine code must and must not have, compiled for GPUs that need not be there."""

from __future__ import annotations

import re

import pytest
import torch

from tryon_kernels.backends import INTERPRETED

pytest.importorskip("triton", reason="Triton is not installed")
if INTERPRETED:
    pytest.skip("Triton's interpreter compiles nothing", allow_module_level=True)

from triton_objects import KERNELS, TARGETS, Call, Code, compiled

HALVES = torch.float16, torch.bfloat16
CALLS = [
    Call(name, dtype, target) for name in KERNELS for dtype in (torch.float32, *HALVES) for target in TARGETS
]  # fmt: skip
# What differs less between GPUs: maps in planes, float64, and a correlation without leaky ReLU.
OTHER_TARGETS = ("sm_80", "gfx942")
OTHER_CALLS = [
    *(Call(name, torch.bfloat16, target, planes=True) for name in KERNELS for target in OTHER_TARGETS),
    *(Call(name, torch.float64, target) for name in KERNELS for target in OTHER_TARGETS),
    *(Call(n, torch.float32, target, leaky=False) for n in KERNELS if "corr" in n for target in OTHER_TARGETS),
]

# What all blocks of a multiprocessor share. NVIDIA: the memory is sm_120's, the least of these GPUs, of which 1 KiB is
# reserved for each block. AMD: 4 units with 512 registers for a lane; a warp is on one of them.
REGISTERS = {"cuda": 65536 // 32, "hip": 4 * 512}
SHARED_BYTES = {"cuda": 100 * 1024, "hip": 64 * 1024}
RESERVED_BYTES = {"cuda": 1024, "hip": 0}

# The assembler keeps a few numbers of these in memory rather than have more registers.
SPILLED_BYTES = {
    Call("sample, gradient of positions", torch.float64, "sm_80"): 16,
    Call("warp_correlation, gradient of second", torch.float32, "sm_80", leaky=False): 24,
}


def fewest_warps(call: Call) -> int:
    """On a multiprocessor at a time: three blocks of 4 warps hide what a fourth waits for, unless there is a reason."""
    if call.name == "warp_correlation, gradient of second":
        return 8  # sampling inside of the gradient's loop takes the registers of a block more
    if call.dtype == torch.float64 or (call.planes and "correlation" in call.name):
        return 8  # numbers of two registers, and addresses for each number that is read
    return 12


@pytest.mark.parametrize("call", CALLS + OTHER_CALLS, ids=str)
def test_a_kernel_keeps_its_numbers_in_registers_and_leaves_room_for_other_blocks(call: Call) -> None:
    code, backend = compiled(call), TARGETS[call.target].backend
    assert code.spilled_bytes <= SPILLED_BYTES.get(call, 0)
    blocks = -(-fewest_warps(call) // code.warps)
    assert code.registers * code.warps * blocks <= REGISTERS[backend]
    assert (code.shared_bytes + RESERVED_BYTES[backend]) * blocks <= SHARED_BYTES[backend]
    check_instructions(call, code)


def check_instructions(call: Call, code: Code) -> None:
    nvidia = call.target.startswith("sm_")
    if "correlation" in call.name and call.dtype in HALVES:
        assert ("HMMA" if nvidia else "v_mfma") in code.text
    if "correlation" in call.name and call.dtype == torch.float32 and not nvidia:
        assert "v_mfma_f32_16x16x4" in code.text
    adding = call.name == "sample, gradient of input"
    assert ("atomic" in code.types) == adding  # all else is the same bits each time
    reads_numbers = call.planes or adding or call.name == "sample, cells of positions"
    if not reads_numbers and ("correlation" not in call.name or call.dtype != torch.float64):
        assert re.search(r"LDG(STS)?\.E\.(\w+\.)*128" if nvidia else "global_load_dwordx4", code.text)


@pytest.mark.parametrize("name", [name for name in KERNELS if "correlation" in name])
def test_float64_is_computed_in_nothing_less(name: str) -> None:
    # A number of Python's that is an argument of a kernel would be a float32 there.
    assert not re.search(r"\bf32\b", compiled(Call(name, torch.float64, "sm_80")).types)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_compiles_for_one_channel_of_one_pixel(name: str) -> None:
    # Triton's interpreter, which runs such sizes, makes no constants of them.
    assert compiled(Call(name, torch.float32, "sm_80", one_pixel=True)).registers > 0
