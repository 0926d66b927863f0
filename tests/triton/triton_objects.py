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

from tryon_kernels.gpu.kernels import DISTANCES
from tryon_kernels.triton.cells import CELL_TILE, _find_cells, _order_samples, _sum_cells, chunk_tile
from tryon_kernels.triton.cells import gradient_tile as cell_gradient_tile
from tryon_kernels.triton.correlation import _gather, _multiply
from tryon_kernels.triton.distance import WARPS, _differentiate_distance, _measure
from tryon_kernels.triton.sample import _differentiate_input, _differentiate_positions, _sample
from tryon_kernels.triton.tiles import CDNA, NVIDIA, SampleTile, gradient_tile, sample_tile, volume_tile

FAMILIES = {
    **dict.fromkeys(("sm_80", "sm_86", "sm_90", "sm_100", "sm_120"), NVIDIA),
    **dict.fromkeys(("gfx90a", "gfx942"), CDNA),
}
TARGETS = {
    name: GPUTarget("cuda", int(name[3:]), 32) if name.startswith("sm_") else GPUTarget("hip", name, 64)
    for name in FAMILIES
}
DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.float64: "fp64"}
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
RADIUS, CHANNELS = 3, 256
SIZES = ("count", "channels", "size")
FEATURES = (
    *("input", "output", "grad_output", "first", "second", "volume", "grad_volume", "other", "gradient"),
    *("features", "target", "activated", "grad_activated", "grad_features", "grad_target"),
)
KERNELS = {
    "sample": _sample,
    "sample, gradient of positions": _differentiate_positions,
    "sample, gradient of input": _differentiate_input,
    "sample, cells of positions": _find_cells,
    "sample, order": _order_samples,
    "sample, sums of cells": _sum_cells,
    "correlation": _multiply,
    "correlation, gradient of first": _gather,
    "correlation, gradient of second": _gather,
    "warp_correlation": _multiply,
    "feature_distance": _measure,
    "feature_distance, gradients": _differentiate_distance,
}


@dataclass(frozen=True)
class Call:
    """What a kernel is compiled for: maps of some channels, which lie together or in planes."""

    name: str
    dtype: torch.dtype
    target: str
    planes: bool = False
    leaky: bool = True
    one_pixel: bool = False
    channels: int = CHANNELS

    def __str__(self) -> str:
        layout, slope = "planes" if self.planes else "channels_last", "leaky" if self.leaky else "plain"
        size = "-one pixel" if self.one_pixel else ""
        few = "" if self.channels == CHANNELS else f"-{self.channels} channels"
        return f"{self.name}-{DTYPES[self.dtype]}-{self.target}-{layout}-{slope}{size}{few}"

    @property
    def wide(self) -> str:
        """The type of positions and sums."""
        return "fp64" if self.dtype == torch.float64 else "fp32"

    @property
    def precision(self) -> str:
        """How float32 is multiplied, unless the user allows TensorFloat32."""
        return "tf32x3" if self.dtype == torch.float32 and TARGETS[self.target].backend == "cuda" else "ieee"

    def tile(self) -> Any:
        """What a program works on."""
        if "distance" in self.name:
            return SampleTile(DISTANCES, 1, WARPS)
        layout = torch.contiguous_format if self.planes else torch.channels_last
        features = torch.empty(1, self.channels, 2, 2, dtype=self.dtype, device="meta").to(memory_format=layout)
        family = FAMILIES[self.target]
        if "correlation" in self.name:
            gradient = "gradient" in self.name
            return gradient_tile(features, self.leaky, family) if gradient else volume_tile(features, family)
        if self.name == "sample, gradient of input":
            sums = features.to(torch.promote_types(self.dtype, torch.float32))
            return sample_tile(sums, adding=True, family=family)
        if self.name == "sample, cells of positions":
            return CELL_TILE
        if self.name == "sample, order":
            return chunk_tile(features)
        if self.name == "sample, sums of cells":
            return cell_gradient_tile(features, family)
        return sample_tile(features, family=family)


@dataclass(frozen=True)
class Code:
    """What a kernel's machine code needs of a thread and a block, and its text."""

    registers: int
    spilled_bytes: int
    shared_bytes: int
    warps: int
    text: str
    types: str  # the kernel in Triton's own language, with the type of every value
    ptx: str = ""  # of NVIDIA's


def compiled(call: Call) -> Code:
    """The code of a kernel as a call would compile it."""
    kernel, target, tile = KERNELS[call.name], TARGETS[call.target], call.tile()
    constants = _constants(call, tile)
    types = {argument: _type(argument, call) for argument in kernel.arg_names}
    signature = {argument: "constexpr" if argument in constants else types[argument] for argument in types}
    # As at a call: pointers of torch's tensors are multiples of 16, and so are most strides that are looked at.
    unaligned = {p.num for p in kernel.params if p.do_not_specialize or p.do_not_specialize_on_alignment}
    if call.channels % 16:
        unaligned |= {p.num for p in kernel.params if p.name == "channels" or p.name.endswith(("_n", "_y", "_x"))}
    attributes = {
        (index,): [["tt.divisibility", 16]]
        for index, (argument, kind) in enumerate(signature.items())
        if kind.startswith("*") or argument.endswith(("_n", "_c", "_y", "_x")) or argument in ("channels", "size")
        if kind != "constexpr" and index not in unaligned
    }
    source = ASTSource(kernel, signature, constants, attributes)
    options = {"num_warps": tile.warps}
    if "correlation" in call.name:
        options["num_stages"] = tile.stages
    result = triton.compile(source, target=target, options=options)
    return _nvidia(result, tile.warps) if target.backend == "cuda" else _amd(result, tile.warps)


def _constants(call: Call, tile: Any) -> dict[str, Any]:
    kernel = KERNELS[call.name]
    names, ones = kernel.arg_names, [p.name for p in kernel.params if not p.do_not_specialize]
    constants: dict[str, Any] = {
        "coordinates": 1,
        "border": True,
        "number": triton.language.dtype(call.wide),
        "CHANNELS": tile.channels,
        "SIDE": 2 * RADIUS + 1,
        "LEAKY": call.leaky,
        "SAMPLED": "warp" in call.name,
        "MIRRORED": "second" in call.name,
        "precision": call.precision,
        "relu": True,
        "NUMBERS": DISTANCES,
    }
    if "correlation" in call.name:
        constants |= {"ROWS": tile.rows, "COLUMNS": tile.columns, "DOWN": tile.down, "ACROSS": tile.across}
    else:
        constants |= {"PIXELS": tile.pixels, "STEPS": tile.steps}
    # Triton makes a constant of each argument that is 1: the stride along which numbers lie together, and sizes.
    constants |= {name: 1 for name in ones if name.endswith("_x" if call.planes else "_c")}
    if call.one_pixel:
        constants |= {name: 1 for name in ones if name.endswith(("height", "width")) or name in SIZES}
    return {name: value for name, value in constants.items() if name in names}


def _type(argument: str, call: Call) -> str:
    if argument in ("positions", "grad_positions", "fractions", "ordered_fractions", "sums", "grad_distance"):
        return f"*{call.wide}"
    if argument in ("scale", "slope"):
        return "fp64"
    if argument in ("cells", "starts", "order", "places"):
        return "*i64" if argument == "order" else "*i32"
    if argument in FEATURES:
        return f"*{DTYPES[call.dtype]}"
    return "i64" if argument.endswith(("_n", "_c", "_y", "_x", "_axis")) else "i32"


def _nvidia(result: Any, warps: int) -> Code:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, "kernel.cubin")
        binary.write_bytes(result.asm["cubin"])
        usage, text = (
            subprocess.run([CUOBJDUMP, option, binary], capture_output=True, text=True, check=True).stdout
            for option in ("--dump-resource-usage", "--dump-sass")
        )
    number = {key: int(value) for key, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    spilled = number["STACK"] + number["LOCAL"]
    return Code(number["REG"], spilled, result.metadata.shared, warps, text, result.asm["ttir"], result.asm["ptx"])


def _amd(result: Any, warps: int) -> Code:
    text = result.asm["amdgcn"]
    registers, scratch = (
        int(re.search(rf"\.{key}:\s+(\d+)", text)[1]) for key in ("vgpr_count", "private_segment_fixed_size")
    )
    return Code(registers, scratch, result.metadata.shared, warps, text, result.asm["ttir"])


def table() -> str:
    """What each kernel needs on each target, in Markdown: registers of a thread and shared memory of a block."""
    lines = [("kernel", "dtype", *TARGETS), ("---",) * (len(TARGETS) + 2)]
    for name in KERNELS:
        for dtype in (torch.float32, torch.bfloat16):
            codes = [compiled(Call(name, dtype, target)) for target in TARGETS]
            cells = [f"{code.registers}, {code.shared_bytes / 1024:.0f} KiB" for code in codes]
            lines.append((name, DTYPES[dtype], *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table())
