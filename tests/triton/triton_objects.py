"""Triton kernels compiled ahead of time for GPUs that need not be there, and what their machine code says."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tryon_kernels.triton.correlation import _gather, _multiply
from tryon_kernels.triton.sample import _differentiate_input, _differentiate_positions, _sample
from tryon_kernels.triton.tiles import correlation_tile, sample_tile

TARGETS = {
    **{f"sm_{arch}": GPUTarget("cuda", arch, 32) for arch in (80, 90, 100, 120)},
    **{arch: GPUTarget("hip", arch, 64) for arch in ("gfx90a", "gfx942")},
}
DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
RADIUS = 3
KERNELS = {
    "sample": _sample,
    "sample, gradient of positions": _differentiate_positions,
    "sample, gradient of input": _differentiate_input,
    "sample, deterministic gradient of input": _differentiate_input,
    "correlation": _multiply,
    "correlation, gradient of first": _gather,
    "correlation, gradient of second": _gather,
    "warp_correlation": _multiply,
    "warp_correlation, gradient of second": _gather,
}


@dataclass(frozen=True)
class Code:
    """What a kernel's machine code needs of a thread and a block, and its text."""

    registers: int
    spilled_bytes: int
    shared_bytes: int
    text: str


def compiled(name: str, dtype: torch.dtype, target: GPUTarget) -> Code:
    """The code of a kernel for channels_last maps of 256 channels, as a call would compile it."""
    kernel = KERNELS[name]
    constants = _constants(name, dtype)
    types = {argument: _type(argument, name, DTYPES[dtype]) for argument in kernel.arg_names}
    signature = {argument: "constexpr" if argument in constants else types[argument] for argument in types}
    # As at a call: pointers of torch's tensors and most of their strides are multiples of 16.
    attributes = {
        (index,): [["tt.divisibility", 16]]
        for index, (argument, kind) in enumerate(signature.items())
        if kind.startswith("*") or argument.endswith(("_n", "_y", "_x")) or argument == "channels"
    }
    source = ASTSource(kernel, signature, constants, attributes)
    result = triton.compile(source, target=target, options={"num_warps": _tile(name, dtype).warps})
    return _nvidia(result) if target.backend == "cuda" else _amd(result)


def _tile(name: str, dtype: torch.dtype) -> Any:
    features = torch.empty(1, 256, 2, 2, dtype=dtype, memory_format=torch.channels_last)
    if "correlation" in name:
        return correlation_tile(features, RADIUS, gradient="gradient" in name)
    return sample_tile(features, adding="gradient of input" in name)


def _constants(name: str, dtype: torch.dtype) -> dict[str, Any]:
    tile = _tile(name, dtype)
    constants: dict[str, Any] = {
        "coordinates": 1,
        "border": True,
        "number": triton.language.float32,
        "PIXELS": tile.pixels,
        "CHANNELS": tile.channels,
        # Of channels_last maps; Triton makes a constant of each argument that is 1.
        "input_c": 1,
        "output_c": 1,
        "grad_c": 1,
        "sums_c": 1,
        "first_c": 1,
        "second_c": 1,
        "other_c": 1,
        "to_c": 1,
        "volume_c": 1,
        "signs_c": 1,
        "FIXED": "deterministic" in name,
        "SIDE": 2 * RADIUS + 1,
        "LEAKY": True,
        "SAMPLED": "warp" in name,
        "MIRRORED": "second" in name,
        "precision": "ieee",
        "COLUMNS": getattr(tile, "columns", 0),
    }
    return {argument: value for argument, value in constants.items() if argument in KERNELS[name].arg_names}


def _type(argument: str, name: str, features: str) -> str:
    if argument in ("positions", "grad_positions"):
        return "*fp32"
    if argument == "sums":
        return "*i64" if "deterministic" in name else "*fp32"
    if argument == "unusual":
        return "*i32" if "deterministic" in name else "*fp32"
    if argument == "scale" and "sample" in name:
        return "*fp64" if "deterministic" in name else "*fp32"
    if argument in ("scale", "slope"):
        return "fp32"
    if argument in ("input", "output", "grad_output", "first", "second", "volume", "grad_volume", "other", "gradient"):
        return f"*{features}"
    return "i64" if argument.endswith(("_n", "_c", "_y", "_x", "_axis")) else "i32"


def _nvidia(result: Any) -> Code:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, "kernel.cubin")
        binary.write_bytes(result.asm["cubin"])
        usage, text = (
            subprocess.run([CUOBJDUMP, option, binary], capture_output=True, text=True, check=True).stdout
            for option in ("--dump-resource-usage", "--dump-sass")
        )
    number = {key: int(value) for key, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    spilled = number["STACK"] + number["LOCAL"]
    return Code(number["REG"], spilled, result.metadata.shared, text)


def _amd(result: Any) -> Code:
    text = result.asm["amdgcn"]
    registers, scratch = (
        int(re.search(rf"\.{key}:\s+(\d+)", text)[1]) for key in ("vgpr_count", "private_segment_fixed_size")
    )
    return Code(registers, scratch, result.metadata.shared, text)


def table() -> str:
    """What each kernel needs on each target, in Markdown: registers of a thread and shared memory of a block."""
    lines = [("kernel", "dtype", *TARGETS), ("---",) * (len(TARGETS) + 2)]
    for name in KERNELS:
        for dtype in (torch.float32, torch.bfloat16):
            codes = [compiled(name, dtype, target) for target in TARGETS.values()]
            cells = [f"{code.registers}, {code.shared_bytes / 1024:.0f} KiB" for code in codes]
            lines.append((name, DTYPES[dtype], *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table())
