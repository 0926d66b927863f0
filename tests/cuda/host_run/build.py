"""CUDA sources compiled by the host's compiler, to run without a GPU."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[2] / "csrc"
COMPILE = (
    *("-std=c++20", "-O1", "-g", "-fPIC", "-Wall", "-Wextra"),
    "-fno-gnu-unique",  # two libraries in one process share no variable of the same name
    *("-I", str(HERE / "include"), "-I", str(CSRC)),
)


def compile_for_host(sources: Sequence[Path], output: Path, options: Sequence[str] = ()) -> None:
    """A shared library if the output's name ends in .so, else a program; the options may name libraries."""
    # Symbolic: a torch with CUDA brings functions of the same names, which must not serve in place of the library's.
    linking = ("-shared", "-Wl,-Bsymbolic") if output.suffix == ".so" else ()
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    files = [str(source) for source in (*sources, HERE / "host_run.cpp")]
    command = [*compiler, *COMPILE, *linking, "-x", "c++", *files, "-x", "none", *options, "-o", str(output)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{result.stdout}{result.stderr}")
