"""What the Triton kernels' machine code must and must not have, compiled for GPUs that need not be there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from tryon_kernels.availability import INTERPRETED

pytest.importorskip("triton", reason="Triton is not installed")
if INTERPRETED:
    pytest.skip("Triton's interpreter compiles nothing", allow_module_level=True)

from triton.compiler.compiler import make_backend
from triton.runtime.jit import create_function_from_signature
from triton_objects import KERNELS, TARGETS, Call, Code, compiled

from tryon_kernels.triton.correlation import _gather, _multiply

HALVES = torch.float16, torch.bfloat16
CALLS = [
    Call(name, dtype, target) for name in KERNELS for dtype in (torch.float32, *HALVES) for target in TARGETS
]  # fmt: skip
# Float64; and what differs less between GPUs: maps in planes, photos, and a correlation without leaky ReLU.
OTHER_TARGETS = ALWAYS = ("sm_80", "gfx942")
OTHER_CALLS = [
    *(Call(name, torch.bfloat16, target, planes=True) for name in KERNELS for target in OTHER_TARGETS),
    *(Call(n, torch.float32, target, channels=3) for n in KERNELS if "sample" in n for target in OTHER_TARGETS),
    *(Call(name, torch.float64, target) for name in KERNELS for target in TARGETS),
    *(Call(n, torch.float32, target, leaky=False) for n in KERNELS if "corr" in n for target in OTHER_TARGETS),
]

# What all blocks of a multiprocessor share: NVIDIA's registers are given to a thread eight at a time, and 1 KiB of
# memory is reserved for each block; AMD has 4 units with 512 registers for a lane, and a warp is on one of them.
REGISTERS = {"cuda": 65536 // 32, "hip": 4 * 512}
SHARED_KIB = {"sm_80": 164, "sm_86": 100, "sm_90": 228, "sm_100": 228, "sm_120": 100, "gfx90a": 64, "gfx942": 64}
RESERVED_BYTES = {"cuda": 1024, "hip": 0}


# The assembler keeps a few numbers of these in memory rather than have more registers.
SPILLED_BYTES = {
    Call("sample, gradient of positions", torch.float64, "sm_80"): 16,
    Call("correlation", torch.float64, "sm_80"): 8,
    Call("correlation, gradient of second", torch.float64, "sm_100"): 8,  # Triton 3.6
    Call("correlation, gradient of second", torch.float64, "sm_120"): 16,  # Triton 3.6
}


def fewest_warps(call: Call) -> int:
    """On a multiprocessor at a time."""
    if call.name == "correlation" and not call.planes and call.dtype != torch.float64:
        return 16  # with the next channels on their way, two blocks of 8 warps or four of 4 are enough
    if "correlation" in call.name:
        return 8  # the weights of a tile, or samples and addresses of each number, take the registers of other blocks
    return 8 if call.dtype == torch.float64 else 12  # three blocks of 4 warps hide what a fourth waits for


def warps(call: Call, code: Code) -> int:
    """That a multiprocessor has at a time."""
    backend = TARGETS[call.target].backend
    by_registers = REGISTERS[backend] // (-(-code.registers // 8) * 8 * code.warps)
    by_memory = SHARED_KIB[call.target] * 1024 // max(code.shared_bytes + RESERVED_BYTES[backend], 1)
    return min(by_registers, by_memory) * code.warps


def marked(call: Call) -> Any:
    always = call.target in ALWAYS and call.dtype != torch.float16  # whose code is bfloat16's but for the type
    return pytest.param(call, marks=() if always else pytest.mark.objects)


@pytest.mark.parametrize("call", map(marked, CALLS + OTHER_CALLS), ids=str)
def test_a_kernel_keeps_its_numbers_in_registers_and_leaves_room_for_other_blocks(call: Call) -> None:
    code = compiled(call)
    assert code.spilled_bytes <= SPILLED_BYTES.get(call, 0)
    assert warps(call, code) >= fewest_warps(call)
    check_instructions(call, code)


def check_instructions(call: Call, code: Code) -> None:
    nvidia = call.target.startswith("sm_")
    if "correlation" in call.name:
        assert re.search(matrix_instruction(call), code.text)
    adding = call.name == "sample, gradient of input"
    assert ("atomic" in code.types) == adding  # all else is the same bits each time
    reads_numbers = call.planes or call.channels == 3 or adding or call.name == "sample, cells of positions"
    if not reads_numbers:
        assert re.search(r"LDG(STS)?\.E\.(\w+\.)*128" if nvidia else "global_load_dwordx4", code.text)
    if "correlation" in call.name and not call.planes and nvidia:
        assert "LDGSTS" in code.text  # the next channels are copied while these are multiplied


def matrix_instruction(call: Call) -> str:
    """With which the products of a correlation are computed."""
    if not call.target.startswith("sm_"):
        return "v_mfma_f64" if call.dtype == torch.float64 else "v_mfma_f32"
    if call.dtype == torch.float64:  # not every GPU has them, nor does Triton 3.6 use those of sm_100
        return {"sm_80": "DMMA", "sm_90": "DMMA", "sm_100": "DMMA|DFMA"}.get(call.target, "DFMA")
    if call.dtype in HALVES:  # the widest of Hopper and of Blackwell's data centres
        return {"sm_90": "HGMMA", "sm_100": "UTCHMMA"}.get(call.target, "HMMA")
    return r"HMMA\.\d+\.F32\.TF32"


@pytest.mark.parametrize("name", ["sample", "sample, gradient of positions", "sample, gradient of input"])
@pytest.mark.parametrize("how", [{"planes": True}, {"channels": 3}], ids=["planes", "photos"])
def test_a_thread_that_samples_planes_or_a_photo_keeps_its_pixel(name: str, how: dict[str, Any]) -> None:
    # What is handed from thread to thread goes through shared memory.
    assert compiled(Call(name, torch.float32, "sm_90", **how)).shared_bytes == 0


def test_sizes_and_factors_that_only_change_values_compile_nothing_anew() -> None:
    backend = make_backend(TARGETS["sm_80"])
    for kernel in (_multiply, _gather):
        bind = create_function_from_signature(kernel.signature, kernel.params, backend)

        def specialised(height: int, channels: int, slope: float, bind: Any = bind, kernel: Any = kernel) -> Any:
            given = {parameter.name: 1 for parameter in kernel.params}
            sizes = {"height", "width", "first_height", "first_width", "program_chunks"} & given.keys()
            given |= {"channels": channels, "scale": 1 / channels, "slope": slope, **dict.fromkeys(sizes, height)}
            return bind(**given)[1]

        assert specialised(1, 256, 1.0) == specialised(64, 16, 0.0) == specialised(7, 48, 0.1)


@pytest.mark.parametrize("name", [name for name in KERNELS if "sample" in name])
def test_sampling_compiles_once_for_all_sizes_of_maps_and_strides_of_positions(name: str) -> None:
    kernel = KERNELS[name]
    bind = create_function_from_signature(kernel.signature, kernel.params, make_backend(TARGETS["sm_80"]))

    def specialised(size: int) -> Any:
        given = {p.name: 16 for p in kernel.params}
        sizes = [n for n in given if n.endswith(("height", "width")) or n.startswith("positions_")]
        return bind(**(given | dict.fromkeys(sizes, size)))[1]

    assert specialised(1) == specialised(7) == specialised(64)


@pytest.mark.parametrize("name", [name for name in KERNELS if "sample" not in name])
def test_float64_is_computed_in_nothing_less(name: str) -> None:
    # A number of Python's that is an argument of a kernel would be a float32 there.
    assert not re.search(r"\bf32\b", compiled(Call(name, torch.float64, "sm_80")).types)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_compiles_for_one_channel_of_one_pixel(name: str) -> None:
    # Triton's interpreter, which runs such sizes, makes no constants of them.
    assert compiled(Call(name, torch.float32, "sm_80", one_pixel=True)).registers > 0
