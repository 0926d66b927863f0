"""The package with its CUDA kernels compiled to run on the CPU: `python -m tests.cuda.host_run.package FOLDER OPTIONS`.

FOLDER then holds `tryon_kernels` and the tests; options are the compiler's. Objects of an earlier call serve again as
far as their sources are the same.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.cuda.host_run.build import compile_for_host

ROOT = Path(__file__).resolve().parents[3]
SOURCES = (ROOT / "csrc/cuda/bind.cpp", *sorted((ROOT / "csrc/cuda").glob("*.cu")))


def make_package(folder: Path, options: Sequence[str] = ()) -> None:
    """Replace what is in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch_folder = Path(torch.__file__).parent
    headers = ("-isystem", str(torch_folder / "include"), "-DTORCH_TARGET_VERSION=0x020a000000000000", "-DUSE_CUDA")
    compile_for_host(
        SOURCES,
        folder / "_cuda.so",
        (*headers, "-DTRYON_KERNELS_CUDA_SERVES=CPU", *options),
        ("-L", str(torch_folder / "lib"), "-ltorch_cpu"),
    )
    without_binaries = shutil.ignore_patterns("*.so", "_build.json", "__pycache__")
    for name in ("tryon_kernels", "tests"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=without_binaries)
    shutil.copy(ROOT / "pyproject.toml", folder)
    library = folder / "tryon_kernels"
    shutil.move(folder / "_cuda.so", library / "_cuda.so")
    record = {"cpp": {"reason": "CUDA kernels serve CPU tensors here"}, "cuda": {"serves": "cpu"}}
    (library / "_build.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    make_package(Path(sys.argv[1]), sys.argv[2:])
