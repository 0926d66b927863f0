"""The CUDA kernels' library."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from pathlib import Path

from build_support.compilation import (
    CannotCompileError,
    complaint,
    nameless,
    objects,
    output_of,
    run,
    start,
    torch_headers,
    workers,
)
from build_support.cpp import compiler
from build_support.variables import refusal, variable

SOURCES = (
    *("csrc/cuda/bind.cpp", "csrc/cuda/sample.cu", "csrc/cuda/sample_backward.cu", "csrc/cuda/cells.cu"),
    *("csrc/cuda/correlation.cu", "csrc/cuda/correlation_backward.cu", "csrc/cuda/distance.cu"),
)
ARCHITECTURES = (75, 80, 86, 90, 100, 120)  # code for one also runs on later ones of the same tens
FAMILIES = {"Turing": (75,), "Ampere": (80, 86), "Ada": (89,), "Hopper": (90,), "Blackwell": (100, 120)}
OLDEST_NVCC = (12, 0)  # C++20
OPTIONS = (
    *("-std=c++20", "-O3", "-DUSE_CUDA", "-Icsrc", "-Xcompiler", "-fPIC,-fvisibility=hidden"),
    *("--fmad=true", "--expt-relaxed-constexpr"),
)


def find_nvcc() -> str:
    """The CUDA compiler: in CUDA_HOME, or else in the search path. Raises CannotCompileError where there is none."""
    home = variable("CUDA_HOME")
    found = str(Path(home, "bin/nvcc")) if home else shutil.which("nvcc")
    if found is None:
        raise CannotCompileError("the build found no nvcc, neither in CUDA_HOME nor in the search path")
    return found


def check_nvcc(nvcc: str) -> None:
    """Raises CannotCompileError where it does not run, is too old, or compiles nothing here."""
    try:
        version = output_of([nvcc, "--version"]).stdout
    except OSError as error:
        raise CannotCompileError(f'the build found no nvcc: "{nvcc}" does not run ({error.strerror})') from None
    release = re.search(r"release (\d+)\.(\d+)", version)
    if release is None or tuple(map(int, release.groups())) < OLDEST_NVCC:
        found = release[0] if release else "of no known release"
        raise CannotCompileError(f'"{nvcc}" is {found}, and C++20 needs 12.0')
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.cu")
        source.write_text("#include <concepts>\n__global__ void kernel() {}\n")
        result = output_of([nvcc, "-std=c++20", "-c", str(source), "-o", str(source.with_suffix(".o"))])
    if result.returncode != 0:
        raise CannotCompileError(f'"{nvcc}" compiles nothing here ({complaint(result)})')


def architectures(nvcc: str) -> list[int]:
    """What to compile for: TORCH_CUDA_ARCH_LIST, or else those of the usual ones that this compiler knows."""
    asked = _asked_architectures()
    if asked:
        return asked
    known = output_of([nvcc, "--list-gpu-code"]).stdout.split()
    numbers = [number for number in ARCHITECTURES if f"sm_{number}" in known]
    if not numbers:
        raise CannotCompileError(f'"{nvcc}" compiles for none of sm_{", sm_".join(map(str, ARCHITECTURES))}')
    return numbers


def _asked_architectures() -> list[int]:
    """TORCH_CUDA_ARCH_LIST in numbers.

    Code for GPUs to come (+PTX) is there in any case, and the kernels need nothing that an architecture's letter adds.
    """
    numbers: set[int] = set()
    for item in re.split(r"[\s;,]+", variable("TORCH_CUDA_ARCH_LIST").replace("+PTX", "")):
        number = re.fullmatch(r"(\d+)\.(\d)[af]?", item)
        if item and number is None and item not in FAMILIES:
            raise refusal("TORCH_CUDA_ARCH_LIST", f'a list as "8.0;9.0+PTX" or names of {", ".join(FAMILIES)}')
        numbers.update([10 * int(number[1]) + int(number[2])] if number else FAMILIES.get(item, ()))
    return sorted(numbers)


def compile_cuda(torch: Path, folder: Path, library: Path) -> dict[str, str]:
    """Compile in a folder. Gives what to note: the `architectures`. Raises CannotCompileError."""
    nvcc = find_nvcc()
    check_nvcc(nvcc)
    numbers = architectures(nvcc)
    code = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers]
    code.append(f"-gencode=arch=compute_{numbers[-1]},code=compute_{numbers[-1]}")  # for GPUs to come
    command = [nvcc, *OPTIONS, *torch_headers(torch), "-Xcompiler", nameless(torch), *code]
    with workers() as pool:
        compiled = objects(start(pool, nvcc, command, SOURCES, folder / "cuda"))
    link = [nvcc, "-shared", "-nodlink", "-o", str(library), *compiled, f"-L{torch / 'lib'}", "-ltorch_cpu"]
    run([*link, *_stub_of_torch_cuda(folder)], f'"{nvcc}" does not link the library')
    return {"architectures": " ".join(map(str, numbers))}


def _stub_of_torch_cuda(folder: Path) -> list[str]:
    """Options that note torch's CUDA library as one to load, also where the torch at hand has none."""
    stub = folder / "stub/libtorch_cuda.so"
    stub.parent.mkdir(parents=True, exist_ok=True)
    command = [*compiler(), "-shared", "-x", "c++", "/dev/null", "-o", str(stub), "-Wl,-soname,libtorch_cuda.so"]
    run(command, f'"{shlex.join(compiler())}" does not link a library')
    return [f"-L{stub.parent}", "-Xlinker", "--no-as-needed", "-ltorch_cuda"]
