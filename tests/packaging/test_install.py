from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.building import USE, Environment, StandIn

pytestmark = pytest.mark.packaging


def test_a_binary_that_cannot_be_loaded_breaks_nothing_and_the_cause_is_said(
    wheel: Path, environment: Environment
) -> None:
    environment.install(wheel)
    binary = environment.packages / "tryon_kernels" / "_cpp.so"
    binary.write_bytes(b"not a library" * 100)
    result = environment.run("-c", USE)
    assert result.returncode == 0, result.stderr
    assert f"RuntimeWarning: tryon_kernels: {binary} is there but cannot be loaded: " in result.stderr
    assert "invalid ELF header" in result.stderr
    assert "in use  stock for CPU tensors" in result.stdout


def files_of(package: Path) -> set[str]:
    return {str(file.relative_to(package)) for file in package.rglob("*")}


def test_nothing_is_written_beside_an_installed_package(wheel: Path, environment: Environment) -> None:
    environment.install(wheel)
    package = environment.packages / "tryon_kernels"
    before = files_of(environment.packages)
    for file in (*package.rglob("*"), package, environment.packages):
        file.chmod(file.stat().st_mode & ~0o222)  # holds for everyone but root
    assert "in use  cpp for CPU tensors" in environment.output("-B", "-c", USE)
    assert files_of(environment.packages) == before
    environment.packages.chmod(0o755)
    for folder in (package, *package.rglob("*/")):
        folder.chmod(0o755)


def test_an_editable_install_puts_the_binary_beside_the_source_and_removes_an_outdated_one(
    environment: Environment, source: Path, stand_in: Callable[..., StandIn]
) -> None:
    environment.install(source, "--editable", CXX=stand_in().cxx)
    assert (source / "tryon_kernels" / "_cpp.so").exists()
    output = environment.output("-c", USE)
    assert str(source) in output
    assert "in use  cpp for CPU tensors" in output
    assert "cuda    not available: TRYON_KERNELS_CUDA=0 left them out of the build" in output
    environment.install(source, "--editable", CXX="/nonexistent/c++")
    assert not (source / "tryon_kernels" / "_cpp.so").exists()
    assert "in use  stock for CPU tensors" in environment.output("-c", USE)


@pytest.mark.more
def test_a_checkout_that_was_moved_after_an_editable_install_works_in_place_and_is_installed_again(
    environment: Environment, source: Path, stand_in: Callable[..., StandIn]
) -> None:
    compiler = stand_in()
    environment.install(source, "--editable", CXX=compiler.cxx)
    moved = source.rename(source.parent / "a moved checkout")
    assert "No module named 'tryon_kernels'" in environment.run("-c", USE).stderr
    in_place = environment.output("-c", f"import os, sys\nos.chdir({str(moved)!r})\nsys.path.insert(0, '')\n{USE}")
    assert f"CPU tensors, {moved}/tryon_kernels/_cpp.so" in in_place
    environment.install(moved, "--editable", CXX=compiler.cxx)
    assert f"CPU tensors, {moved}/tryon_kernels/_cpp.so" in environment.output("-c", USE)


def test_a_setuptools_that_is_too_old_is_named_in_one_line(source: Path, tmp_path: Path) -> None:
    (tmp_path / "setuptools").mkdir()
    (tmp_path / "setuptools" / "__init__.py").write_text('__version__ = "68.0.0"\n')
    code = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path('setup.py', run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("tryon_kernels: got setuptools 68.0.0, expected >= 77: ")
