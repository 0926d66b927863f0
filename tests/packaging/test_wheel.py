from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.packaging.building import ROOT, USE, Environment, StandIn, build_wheel

pytestmark = pytest.mark.packaging


def test_the_wheel_holds_the_binary_and_fits_any_python(wheel: Path) -> None:
    assert "-py3-none-linux_" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "tryon_kernels/_cpp.so" in names
    assert "tryon/errors.py" in names
    data = [path for path in (ROOT / "tryon").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert {str(path.relative_to(ROOT)) for path in data} <= set(names)
    assert len(data) > 10
    assert not [name for name in names if name.startswith(("tests/", "csrc/"))]


def test_the_wheel_installs_into_another_environment_and_the_compiled_kernels_serve_there(
    wheel: Path, environment: Environment
) -> None:
    environment.install(wheel)
    output = environment.output("-c", USE)
    assert str(environment.folder) in output
    assert "in use  cpp for CPU tensors" in output


def test_the_binary_needs_torch_and_no_python(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extract("tryon_kernels/_cpp.so", tmp_path)
    content = (tmp_path / "tryon_kernels" / "_cpp.so").read_bytes()
    assert b"libtorch_cpu.so" in content
    assert b"libpython" not in content
    assert b"libtorch_python" not in content
    assert os.fsencode(Path(torch.__file__).parent) not in content


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm, of the binary utilities, is not there")
def test_the_objects_of_an_instruction_set_share_no_function_with_the_rest(wheel: Path) -> None:
    # A function that several objects define, such as a library's template, is kept once: if that were the one with the
    # widest instructions, the rest of the process would run it on CPUs without them.
    objects = sorted((wheel.parent / "source" / "build").glob("temp*/*/csrc/cpu/kernels/*.o"))
    assert {file.relative_to(wheel.parent).parts[3] for file in objects} >= {"baseline"}
    for file in objects:
        lines = subprocess.run(["nm", "-C", file], capture_output=True, text=True, check=True).stdout.splitlines()
        shown = [line.split(maxsplit=2)[1:] for line in lines if not line.lstrip().startswith("U ")]
        defined = [name for kind, name in shown if kind not in "tbdr"]  # lower case: seen within the object only
        assert defined
        table = re.compile(r"tryon_kernels::\w+::k(Correlation|Distance|Sample|Scatter)")
        assert all(table.fullmatch(name) for name in defined)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not there")
def test_cuda_kernels_are_built_where_nvcc_is_also_against_a_torch_without_cuda(
    wheel: Path, environment: Environment, tmp_path: Path
) -> None:
    zipfile.ZipFile(wheel).extract("tryon_kernels/_cuda.so", tmp_path)
    content = (tmp_path / "tryon_kernels" / "_cuda.so").read_bytes()
    assert b"libtorch_cuda.so" in content
    assert b"libcudart.so" not in content  # the runtime is inside, so that any CUDA of torch's will do
    assert os.fsencode(Path(torch.__file__).parent) not in content
    environment.install(wheel)
    if not torch.cuda.is_available():
        assert "cuda    not available: built (sm_90), but torch finds no GPU" in environment.output("-c", USE)


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump, of the binary utilities, is not there")
def test_the_binary_needs_no_newer_system_than_torchs_own_wheels(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extract("tryon_kernels/_cpp.so", tmp_path)
    binary = tmp_path / "tryon_kernels" / "_cpp.so"
    described = subprocess.run(["objdump", "-p", binary], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+)", described)
    assert {name for name, _ in needed} == {"GLIBC", "GLIBCXX", "CXXABI"}
    there = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 25), "CXXABI": (1, 3, 11)}  # of manylinux_2_28
    for name, version in needed:
        assert tuple(map(int, version.split("."))) <= there[name], f"{name}_{version}"


@pytest.mark.skipif(importlib.util.find_spec("auditwheel") is None, reason="auditwheel is not installed")
def test_without_cuda_the_wheel_is_one_for_all_systems_that_torch_has_wheels_for(
    source: Path, stand_in: Callable[..., StandIn], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "auditwheel", "show", build_wheel(source, tmp_path, CXX=stand_in().cxx)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    platform = re.search(r"constrains the platform tag to\s+\"manylinux_2_(\d+)_", shown)
    assert int(platform[1]) <= 28
