"""What the environment asks of the build.

TRYON_KERNELS_CPP, TRYON_KERNELS_CUDA: 0 leaves the CPU's or the GPU's kernels out, 1 fails a build without any of them
TRYON_KERNELS_BUILD_ISAS: instruction sets to compile the CPU's kernels for, beside the baseline: by default all
CXX, CPPFLAGS, CFLAGS, CXXFLAGS, LDFLAGS: the C++ compiler and options for it, which come after ours
MAX_JOBS: how many files to compile at a time
CUDA_HOME, TORCH_CUDA_ARCH_LIST: where nvcc is and what to compile for, as in torch's own extensions
"""

from __future__ import annotations

import os
import re
import shlex


def variable(name: str) -> str:
    """Its value; an empty variable is as good as none."""
    return os.environ.get(name, "").strip()


def refusal(name: str, expected: str) -> SystemExit:
    """What to raise for a value that means nothing."""
    return SystemExit(f'tryon_kernels: {name}: got "{variable(name)}", expected {expected}')


def words(name: str, default: str = "") -> list[str]:
    """Its words, as a shell reads them."""
    try:
        return shlex.split(variable(name) or default)
    except ValueError as error:
        raise refusal(name, f"words as a shell reads them ({error})") from None


def asked(kernels: str) -> str:
    """What is asked of the kernels "cpp" or "cuda": "0" none of them, "1" all, "" those that can be had."""
    name = f"TRYON_KERNELS_{kernels.upper()}"
    if variable(name) not in ("", "0", "1"):
        raise refusal(name, "0 (leave these kernels out) or 1 (fail without them)")
    return variable(name)


def check_variables() -> None:
    """Refuse what means nothing before minutes go by, and before setuptools reads some of it and shows a traceback."""
    for name in ("CXX", "CPPFLAGS", "CFLAGS", "CXXFLAGS", "LDFLAGS"):
        words(name)
    for kernels in ("cpp", "cuda"):
        asked(kernels)
    jobs()


def jobs() -> int:
    """How many files to compile at a time."""
    number = variable("MAX_JOBS")
    if number and not re.fullmatch(r"0*[1-9][0-9]*", number):
        raise refusal("MAX_JOBS", "how many files to compile at a time")
    return int(number) if number else len(os.sched_getaffinity(0))
