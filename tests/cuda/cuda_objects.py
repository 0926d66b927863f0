"""CUDA kernels compiled for GPUs that need not be there, and what their machine code says.

`python -m tests.cuda.cuda_objects` prints the table of docs/gpu.md.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from build_support import cuda
from build_support.compilation import CannotCompileError, torch_headers
from build_support.torch_at_hand import find_torch

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Multiprocessor:
    """What blocks share: "Technical Specifications per Compute Capability" of the CUDA programming guide."""

    threads: int
    shared_kib: int
    most_blocks: int
    reserved_bytes: int = 1024  # of shared memory, for each block
    registers: int = 65536


MULTIPROCESSORS = {
    "sm_75": Multiprocessor(1024, 64, 16, reserved_bytes=0),
    "sm_80": Multiprocessor(2048, 164, 32),
    "sm_86": Multiprocessor(1536, 100, 16),
    "sm_90": Multiprocessor(2048, 228, 32),
    "sm_100": Multiprocessor(2048, 228, 32),
    "sm_120": Multiprocessor(1536, 100, 24),
}


@dataclass(frozen=True)
class Launch:
    """Threads of a block, and the shared memory that it is launched with."""

    threads: int
    dynamic_bytes: int


@dataclass(frozen=True)
class Code:
    """A kernel's machine code: what it needs of a thread and of a block, and how often it has each instruction."""

    registers: int
    spilled_bytes: int
    shared_bytes: int
    threads: int
    instructions: Counter[str] = field(repr=False)

    def count(self, pattern: str) -> int:
        """Instructions whose name begins so."""
        return sum(count for name, count in self.instructions.items() if re.match(pattern, name))

    def warps(self, architecture: str) -> int:
        """Warps that a multiprocessor has at a time."""
        has = MULTIPROCESSORS[architecture]
        warps = -(-self.threads // 32)
        a_warp = -(-self.registers // 8) * 8 * 32
        blocks = min(has.registers // (a_warp * warps), has.threads // (warps * 32), has.most_blocks)
        if self.shared_bytes:
            blocks = min(blocks, has.shared_kib * 1024 // (self.shared_bytes + has.reserved_bytes))
        return blocks * warps


def obstacle() -> str | None:
    """Why no code can be looked at here; None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "no cuobjdump: it comes with Triton, which is not installed"
    if shutil.which("c++filt") is None:
        return "no c++filt"
    try:
        cuda.check_nvcc(cuda.find_nvcc())
    except CannotCompileError as error:
        return str(error)
    return None


def architectures() -> list[str]:
    """Those that the build compiles for and this nvcc knows."""
    return [f"sm_{number}" for number in cuda.architectures(cuda.find_nvcc())]


def sources() -> list[str]:
    """Files with kernels, relative to the repository."""
    return [source for source in cuda.SOURCES if source.endswith(".cu")]


@cache
def compiled(architecture: str) -> dict[str, Code]:
    """The code of each kernel."""
    known = launches()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        binaries = [Path(folder, Path(source).name).with_suffix(".cubin") for source in sources()]
        list(pool.map(lambda source, binary: _compile(source, architecture, binary), sources(), binaries))
        return {name: code for binary in binaries for name, code in _read(binary, architecture, known).items()}


def _command() -> list[str]:
    return [cuda.find_nvcc(), *cuda.OPTIONS, *torch_headers(find_torch())]


def _compile(source: str, architecture: str, binary: Path) -> None:
    command = [*_command(), "-cubin", f"-arch={architecture}", source, "-o", str(binary)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def _read(binary: Path, architecture: str, known: dict[str, Launch]) -> dict[str, Code]:
    usage, text = (_dump(binary, option) for option in ("--dump-resource-usage", "--dump-sass"))
    needs = dict(re.findall(r"Function (\S+):\s+(REG:.*)", usage))
    found = {}
    for part in text.split("Function : ")[1:]:
        mangled = part.split("\n", 1)[0].strip()
        number = {key: int(value) for key, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", needs[mangled])}
        name = _demangled(mangled)
        launch = known.get(name, known[SAMPLING])
        # Since sm_90 what is reserved for each block is counted as the kernel's.
        static = number["SHARED"] - (MULTIPROCESSORS[architecture].reserved_bytes if at_least(architecture, 90) else 0)
        instructions = Counter(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", part))
        found[name] = Code(
            number["REG"],
            number["STACK"] + number["LOCAL"],
            max(static, 0) + launch.dynamic_bytes,
            launch.threads,
            instructions,
        )
    return found


def at_least(architecture: str, number: int) -> bool:
    """Whether an architecture has this number or a later one."""
    return int(architecture.removeprefix("sm_")) >= number


def _dump(binary: Path, option: str) -> str:
    tools = Path(importlib.util.find_spec("triton").origin).parent / "backends/nvidia/bin"
    return subprocess.run([tools / "cuobjdump", option, binary], capture_output=True, text=True, check=True).stdout


@cache
def _demangled(name: str) -> str:
    """A kernel as its source has it, for instance sample_planes<float>."""
    text = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout
    text = text.replace("tryon_kernels::cuda::", "").replace("(anonymous namespace)::", "").replace(" >", ">")
    for spelt, plain in {"__nv_bfloat16": "bf16", "__half": "fp16", "float": "fp32", "double": "fp64"}.items():
        text = re.sub(rf"\b{spelt}\b", plain, text)
    return re.sub(r"^void ", "", text).split("(", 1)[0]


SAMPLING = "sampling"  # all kernels that go over output pixels, and distances
# Prints launches from the constants that the host code launches kernels with.
LAUNCHES = """
#include <cstdio>
#include "cuda/device/cells.cuh"
#include "cuda/device/correlation.cuh"
#include "cuda/device/correlation_backward.cuh"
#include "cuda/device/distance.cuh"
#include "cuda/device/taps.cuh"

using namespace tryon_kernels::cuda;

static_assert(kDistanceThreads == kSamplingThreads);

template <class T, bool kSampled>
void print(const char* type) {
  const char* sampled = kSampled ? "true" : "false";
  std::printf("multiply_tile<%s, 1, %s>;%d;%d\\n", type, sampled, kMultiplyThreads,
              kMultipliedBytes<T, 1> + kPlaceBytes<T, 1, kSampled>);
  std::printf("multiply_tile<%s, 2, %s>;%d;%d\\n", type, sampled, kMultiplyThreads,
              kMultipliedBytes<T, 2> + kPlaceBytes<T, 2, kSampled>);
  std::printf("gather_tile<%s, %s>;%d;%d\\n", type, sampled, kGatherThreads,
              kGatheredBytes<T> + kOtherPlaceBytes<T, kSampled>);
}

template <class T>
void print_both(const char* type) {
  std::printf("order_samples<%s>;%d;0\\n", type, kChunk);
  print<T, false>(type);
  print<T, true>(type);
}

int main() {
  std::printf("sampling;%d;0\\n", kSamplingThreads);
  print_both<float>("fp32");
  print_both<double>("fp64");
  print_both<__half>("fp16");
  print_both<__nv_bfloat16>("bf16");
}
"""


@cache
def launches() -> dict[str, Launch]:
    """How kernels are launched, by their name or as `SAMPLING`."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "launches.cu"), Path(folder, "launches")
        source.write_text(LAUNCHES)
        subprocess.run([*_command(), "-arch=sm_80", source, "-o", program], cwd=ROOT, check=True)
        text = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    lines = (line.split(";") for line in text.splitlines())
    return {name: Launch(int(threads), int(dynamic)) for name, threads, dynamic in lines}


def table() -> str:
    """What each kernel needs and how many warps a multiprocessor has of it, in Markdown."""
    columns = architectures()
    lines = [("kernel", *columns), ("---",) * (len(columns) + 1)]
    for kernel in compiled(columns[0]):
        if "fp32" in kernel.split(",")[0] or "bf16" in kernel:
            of = [(compiled(architecture)[kernel], architecture) for architecture in columns]
            cells = [f"{code.registers}, {code.shared_bytes / 1024:.0f} KiB, {code.warps(name)}" for code, name in of]
            lines.append((f"`{kernel}`", *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table())
