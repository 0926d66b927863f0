from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import setuptools
import torch

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
SHIPPED = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "csrc", "tryon_kernels", "tryon")

USE = """
import torch, tryon_kernels as tk
from tryon_kernels.report import report
image = torch.arange(12.0).view(1, 1, 3, 4)
assert tk.warp(image, torch.ones(1, 2, 3, 4))[0, 0, 0, 0] == 5
print(tk.__file__)
print(report())
"""


def copy_of_the_source(folder: Path) -> Path:
    """A checkout without anything built in it."""
    folder.mkdir()
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("*.so", "_build.json", "__pycache__", "*.pyc")
            )
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


class Environment:
    """A fresh virtual environment that borrows this one's torch and setuptools, and can reach no index."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.packages = Path(self.output("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        (self.packages / "borrowed.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env={**os.environ, "TRYON_KERNELS_CUDA": "0", **variables, "PIP_NO_INDEX": "1", "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    def output(self, *arguments: str, **variables: str) -> str:
        result = self.run(*arguments, **variables)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def install(self, what: Path, *options: str, **variables: str) -> None:
        self.output("-m", "pip", "install", "--no-deps", "--no-build-isolation", *options, str(what), **variables)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_of_the_source(folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    one_architecture = {**os.environ, "TRYON_KERNELS_CUDA": "1", "TORCH_CUDA_ARCH_LIST": "9.0"}
    subprocess.run(command, check=True, capture_output=True, env=one_architecture)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_binary_and_fits_any_python(wheel: Path) -> None:
    assert "-py3-none-linux_" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "tryon_kernels/_cpp.so" in names
    assert "tryon/errors.py" in names
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
        assert all(re.fullmatch(r"tryon_kernels::\w+::k(Correlation|Sample|Scatter)", name) for name in defined)


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/nonexistent/c++", '"/nonexistent/c++" does not run (No such file or directory)'),
        ("c++ -fno-such-thing", 'the compiler "c++ -fno-such-thing" does not compile C++20'),
    ],
)
def test_without_a_compiler_the_install_succeeds_and_the_eager_backend_serves_and_says_why(
    compiler: str, reason: str, environment: Environment, tmp_path: Path
) -> None:
    environment.install(copy_of_the_source(tmp_path / "source"), CXX=compiler)
    output = environment.output("-c", USE)
    assert "cpp     not available: " in output
    assert reason in output
    assert "in use  eager for CPU tensors" in output


def test_a_compiler_that_stops_halfway_fails_the_install_with_the_command(
    environment: Environment, tmp_path: Path
) -> None:
    source = copy_of_the_source(tmp_path / "source")
    (source / "csrc" / "bind.cpp").write_text("this is not C++\n")
    result = environment.run("-m", "pip", "install", "--no-deps", "--no-build-isolation", str(source))
    assert result.returncode != 0
    assert "this command failed: c++ -std=c++20" in result.stdout + result.stderr


def test_a_binary_that_cannot_be_loaded_is_an_error_that_names_the_cause(wheel: Path, environment: Environment) -> None:
    environment.install(wheel)
    binary = environment.packages / "tryon_kernels" / "_cpp.so"
    binary.write_bytes(b"not a library" * 100)
    result = environment.run("-c", "import tryon_kernels")
    assert result.returncode != 0
    assert f"ImportError: tryon_kernels: {binary} is there but cannot be loaded: " in result.stderr
    assert "invalid ELF header" in result.stderr


def test_an_editable_install_puts_the_binary_beside_the_source_and_removes_an_outdated_one(
    environment: Environment, tmp_path: Path
) -> None:
    source = copy_of_the_source(tmp_path / "source")
    environment.install(source, "--editable")
    assert (source / "tryon_kernels" / "_cpp.so").exists()
    output = environment.output("-c", USE)
    assert str(source) in output
    assert "cuda    not available: TRYON_KERNELS_CUDA=0 left them out of the build" in output
    environment.install(source, "--editable", CXX="/nonexistent/c++")
    assert not (source / "tryon_kernels" / "_cpp.so").exists()
    assert "in use  eager for CPU tensors" in environment.output("-c", USE)


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


def test_without_nvcc_the_install_succeeds_and_says_why(environment: Environment, tmp_path: Path) -> None:
    environment.install(copy_of_the_source(tmp_path / "source"), TRYON_KERNELS_CUDA="1", CUDA_HOME="/nonexistent")
    output = environment.output("-c", USE)
    found = '"/nonexistent/bin/nvcc" does not run (No such file or directory)'
    assert f"cuda    not available: the build found no nvcc: {found}" in output
    assert "in use  cpp for CPU tensors" in output


def build_requirements(environment: Environment, source: Path) -> str:
    """What the build asks pip to fetch, run as pip runs it: with the build's own packages, not the environment's."""
    build_packages = environment.folder / "build packages"
    build_packages.mkdir()
    for part in ("setuptools", "_distutils_hack", f"setuptools-{setuptools.__version__}.dist-info"):
        (build_packages / part).symlink_to(Path(setuptools.__file__).parents[1] / part)
    code = f"""
import os, sys
sys.path = [path for path in sys.path if "site-packages" not in path] + [{str(build_packages)!r}]
os.chdir({str(source)!r})
import setuptools.build_meta
print(setuptools.build_meta.get_requires_for_build_wheel())
"""
    return environment.output("-c", code).splitlines()[-1]


@pytest.mark.parametrize(
    ("installed", "fetched"), [(None, True), ("2.9.1+cpu", True), ("2.10.0", False), ("3.0.0+cu130", False)]
)
def test_the_build_fetches_torch_only_where_there_is_none_or_an_old_one(
    installed: str | None, fetched: bool, environment: Environment, tmp_path: Path
) -> None:
    if installed is not None:
        (environment.packages / "torch").mkdir()
        (environment.packages / "torch" / "version.py").write_text(f"__version__ = '{installed}'\n")
    requirements = build_requirements(environment, copy_of_the_source(tmp_path / "source"))
    assert ("torch>=2.10" in requirements) == fetched
