"""Build of the C++ part; everything else is in pyproject.toml.

The extension uses LibTorch's stable ABI only: built against one torch, it runs with every later one and any Python.
That torch is looked for where the package will be installed, so that pip's isolated build downloads no second one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

OLDEST_TORCH = (2, 10)
TORCH_TARGET_VERSION = "0x020a000000000000"  # 2.10, in the form that torch's headers want
HOST_SOURCES = (
    *("csrc/bind.cpp", "csrc/cpu/variants.cpp"),
    *("csrc/cpu/correlation.cpp", "csrc/cpu/sample.cpp", "csrc/cpu/warp_correlation.cpp"),
)
KERNEL_SOURCES = (  # once for each variant
    *("csrc/cpu/kernels/correlation.cpp", "csrc/cpu/kernels/sample.cpp", "csrc/cpu/kernels/scatter.cpp"),
)
CUDA_SOURCES = (
    *("csrc/cuda/bind.cpp", "csrc/cuda/sample.cu", "csrc/cuda/sample_backward.cu", "csrc/cuda/cells.cu"),
    *("csrc/cuda/correlation.cu", "csrc/cuda/correlation_backward.cu"),
)
CUDA_ARCHITECTURES = (75, 80, 86, 90, 100, 120)  # code for one also runs on later ones of the same tens
OLDEST_NVCC = (12, 0)  # C++20
COMPILE = [
    *("-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Icsrc"),
    *("-fno-math-errno", "-fno-trapping-math"),  # no result changes; loops with comparisons become vector code
]
CUDA_COMPILE = [
    *("-std=c++20", "-O3", "-DUSE_CUDA", "-Icsrc", "-Xcompiler", "-fPIC,-fvisibility=hidden"),
    *("--fmad=true", "--expt-relaxed-constexpr"),
]
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")
X86_VARIANTS = {  # instruction sets to compile for, best first
    "avx512_bf16": (*AVX512, "-mavx512bf16"),
    "avx512": AVX512,
    "avx2": AVX2,
    "baseline": (),
}


def find_torch() -> Path | None:
    """Folder of a torch that is recent enough, found without importing it."""
    spec = importlib.util.find_spec("torch")
    folders = [Path(spec.origin).parent] if spec and spec.origin else []
    paths = [sysconfig.get_path("platlib"), sysconfig.get_path("purelib"), site.getusersitepackages()]
    if sys.prefix != sys.base_prefix and sees_base_environment():
        base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
        paths += [sysconfig.get_path("platlib", vars=base), sysconfig.get_path("purelib", vars=base)]
    folders += [Path(path) / "torch" for path in paths]
    return next((folder for folder in folders if torch_version(folder) >= OLDEST_TORCH), None)


def sees_base_environment() -> bool:
    """Whether this virtual environment was made with --system-site-packages."""
    config = Path(sys.prefix, "pyvenv.cfg")
    return config.exists() and bool(re.search(r"include-system-site-packages\s*=\s*true", config.read_text()))


def torch_version(folder: Path) -> tuple[int, ...]:
    """(major, minor) of the torch in this folder; () where there is none."""
    version = folder / "version.py"
    match = re.search(r"__version__ = '(\d+)\.(\d+)", version.read_text()) if version.exists() else None
    return tuple(map(int, match.groups())) if match else ()


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "c++"))


def variants() -> dict[str, tuple[str, ...]]:
    """The instruction sets that this compiler can compile for, with its options, best first."""
    machine = subprocess.run([*compiler(), "-dumpmachine"], capture_output=True, text=True, check=False).stdout
    known = X86_VARIANTS if machine.startswith("x86_64") else {"baseline": ()}
    return {name: options for name, options in known.items() if compiles("", *options).returncode == 0}


def listed(compiled: Iterable[str]) -> str:
    """The variants to choose from, best first, as csrc/cpu/variants.cpp wants them.

    AMX is one table more in AVX-512's object for the correlation; it samples as AVX-512 does.
    """
    names = list(compiled)
    amx = ["VARIANT(amx,avx512)"] if "avx512" in names else []
    return "".join([*amx, *(f"VARIANT({name},{name})" for name in names)])


def compiles(source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The compiler's word on a piece of source."""
    command = [*compiler(), "-std=c++20", *options, "-fsyntax-only", "-x", "c++", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False)


def obstacle(torch: Path | None) -> str | None:
    """Why nothing can be compiled here; None where it can."""
    if torch is None:
        return "the build found no torch >= 2.10 to compile against"
    try:
        result = compiles("#include <bit>\n#include <concepts>\nstatic_assert(std::bit_cast<int>(1.0f) != 0);\n")
    except OSError as error:
        return f'the build found no C++ compiler: "{shlex.join(compiler())}" does not run ({error.strerror})'
    if result.returncode != 0:
        complaint = next(iter(result.stderr.strip().splitlines()), f"exit status {result.returncode}")
        return f'the compiler "{shlex.join(compiler())}" does not compile C++20 ({complaint})'
    return None


def find_nvcc() -> str | None:
    """The CUDA compiler: in CUDA_HOME, or else in the search path."""
    home = os.environ.get("CUDA_HOME")
    return str(Path(home, "bin/nvcc")) if home else shutil.which("nvcc")


def architectures(nvcc: str) -> list[int]:
    """What to compile for: TORCH_CUDA_ARCH_LIST, or else those of the usual ones that this compiler knows."""
    asked = re.findall(r"(\d+)\.(\d)", os.environ.get("TORCH_CUDA_ARCH_LIST", ""))
    if asked:
        return sorted({10 * int(major) + int(minor) for major, minor in asked})
    known = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout
    return [number for number in CUDA_ARCHITECTURES if f"sm_{number}\n" in known + "\n"]


def cuda_obstacle(nvcc: str | None) -> str | None:
    """Why no CUDA kernels can be compiled here; None where they can."""
    if os.environ.get("TRYON_KERNELS_CUDA") == "0":
        return "TRYON_KERNELS_CUDA=0 left them out of the build"
    if nvcc is None:
        return "the build found no nvcc, neither in CUDA_HOME nor in the search path"
    try:
        version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        return f'the build found no nvcc: "{nvcc}" does not run ({error.strerror})'
    release = re.search(r"release (\d+)\.(\d+)", version)
    if release is None or tuple(map(int, release.groups())) < OLDEST_NVCC:
        return f'"{nvcc}" is {release[0] if release else "of no known release"}, and C++20 needs 12.0'
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.cu")
        source.write_text("#include <concepts>\n__global__ void kernel() {}\n")
        command = [nvcc, "-std=c++20", "-c", str(source), "-o", str(source.with_suffix(".o"))]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    complaint = next(iter((result.stdout + result.stderr).strip().splitlines()), f"exit status {result.returncode}")
    return None if result.returncode == 0 else f'"{nvcc}" compiles nothing here ({complaint})'


def nameless(torch: Path) -> str:
    """An option for the headers' messages, which name their files: not by this machine's paths."""
    return f"-ffile-prefix-map={torch / 'include'}/="


def run(command: list[str]) -> None:
    print(shlex.join(command), flush=True)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    sys.stderr.write(result.stdout + result.stderr)
    if result.returncode != 0:
        raise SystemExit(f"tryon_kernels: this command failed: {shlex.join(command)}")


class BuildKernels(build_ext):
    """Compile the kernels into libraries without any Python in them, or note why there are none."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"  # no Python version in the name: the library does not depend on it

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        name = target.stem.removeprefix("_")
        torch = find_torch()
        reason = obstacle(torch)
        nvcc = find_nvcc()
        if name == "cuda" and reason is None:
            reason = cuda_obstacle(nvcc)
        noted = {}
        if torch is None or reason is not None:
            print(f"tryon_kernels: no {name} kernels, because {reason}", flush=True)
            noted = {"reason": reason}
        elif name == "cpp":
            self._compile_cpp(torch, target)
        elif nvcc is not None:
            noted = {"architectures": self._compile_cuda(nvcc, torch, target)}
        record = target.with_name("_build.json")
        records = json.loads(record.read_text()) if record.exists() else {}
        record.write_text(json.dumps({**records, name: noted}) + "\n")

    def _compile_cpp(self, torch: Path, target: Path) -> None:
        headers = (*self._headers(torch), nameless(torch))
        names = f"-DTRYON_KERNELS_VARIANTS={listed(variants())}"
        units = [("host", source, (*headers, names)) for source in HOST_SOURCES]
        for name, options in variants().items():
            kernel = (*options, "-fno-exceptions", f"-DTRYON_KERNELS_VARIANT={name}")
            units += [(name, source, kernel) for source in KERNEL_SOURCES]
        objects = self._compile([([*compiler(), *COMPILE, *options], part, source) for part, source, options in units])
        # torch is loaded before this library, so the name of its library is enough to find it: no path is recorded.
        run([*compiler(), "-shared", "-o", str(target), *objects, f"-L{torch / 'lib'}", "-ltorch_cpu"])

    def _compile_cuda(self, nvcc: str, torch: Path, target: Path) -> str:
        numbers = architectures(nvcc)
        code = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers]
        code.append(f"-gencode=arch=compute_{numbers[-1]},code=compute_{numbers[-1]}")  # for GPUs to come
        command = [nvcc, *CUDA_COMPILE, *self._headers(torch), "-Xcompiler", nameless(torch), *code]
        objects = self._compile([(command, "cuda", source) for source in CUDA_SOURCES])
        stub = self._stub_of_torch_cuda()
        run([nvcc, "-shared", "-nodlink", "-o", str(target), *objects, f"-L{torch / 'lib'}", "-ltorch_cpu", *stub])
        return " ".join(map(str, numbers))

    def _stub_of_torch_cuda(self) -> list[str]:
        """Options that note torch's CUDA library as one to load, also where the torch at hand has none."""
        stub = Path(self.build_temp, "stub/libtorch_cuda.so")
        stub.parent.mkdir(parents=True, exist_ok=True)
        run([*compiler(), "-shared", "-x", "c++", "/dev/null", "-o", str(stub), "-Wl,-soname,libtorch_cuda.so"])
        return [f"-L{stub.parent}", "-Xlinker", "--no-as-needed", "-ltorch_cuda"]

    @staticmethod
    def _headers(torch: Path) -> tuple[str, ...]:
        return ("-isystem", str(torch / "include"), f"-DTORCH_TARGET_VERSION={TORCH_TARGET_VERSION}")

    def _compile(self, units: list[tuple[list[str], str, str]]) -> list[str]:
        """Objects of (command, folder, source), as many at a time as there are cores."""
        objects = [Path(self.build_temp, part, source).with_suffix(".o") for _, part, source in units]
        for file in objects:
            file.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            commands = (
                [*command, "-c", source, "-o", str(file)]
                for (command, _, source), file in zip(units, objects, strict=True)
            )
            list(pool.map(run, commands))
        return list(map(str, objects))

    def copy_extensions_to_source(self) -> None:
        for ext in self.extensions:
            place = Path(self.get_ext_filename(ext.name))
            for file in (place, place.with_name("_build.json")):
                file.unlink(missing_ok=True)  # an older build's binary must not outlive it
                if Path(self.build_lib, file).exists():
                    self.copy_file(str(Path(self.build_lib, file)), str(file))


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and any Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension("tryon_kernels._cpp", [*HOST_SOURCES, *KERNEL_SOURCES], optional=True),
        Extension("tryon_kernels._cuda", list(CUDA_SOURCES), optional=True),
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
    setup_requires=[] if find_torch() else ["torch>=2.10"],
)
