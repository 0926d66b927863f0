from __future__ import annotations

import os
from pathlib import Path

import pytest
import setuptools

from tests.packaging.building import Environment

pytestmark = pytest.mark.packaging


def put_torch(packages: Path, version: str) -> None:
    (packages / "torch").mkdir(parents=True)
    (packages / "torch" / "version.py").write_text(f"__version__ = '{version}'\n")


def build_requirements(environment: Environment, source: Path, **given: str) -> tuple[str, str]:
    """What an isolated build asks its installer to fetch, and what it says: the build's own packages, not the
    environment's."""
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
    result = environment.run("-c", code, **given)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1], result.stderr


@pytest.mark.parametrize(
    ("installed", "fetched"), [(None, True), ("2.9.1+cpu", True), ("2.10.0", False), ("3.0.0+cu130", False)]
)
def test_the_build_fetches_torch_only_where_there_is_none_or_an_old_one_and_says_so(
    installed: str | None, fetched: bool, environment: Environment, source: Path
) -> None:
    if installed is not None:
        put_torch(environment.packages, installed)
    requirements, said = build_requirements(environment, source)
    assert ("torch>=2.10" in requirements) == fetched
    (*lines,) = [line for line in said.splitlines() if line.startswith("tryon_kernels: found no torch >= 2.10")]
    assert len(lines) == fetched
    assert all("--no-build-isolation" in line for line in lines)


@pytest.mark.parametrize("found_by", ["VIRTUAL_ENV", "CONDA_PREFIX", "PATH", "PWD"])
def test_an_installer_that_builds_with_another_python_needs_no_second_torch(
    found_by: str, environment: Environment, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "project" / ".venv"
    put_torch(target / "lib" / "python3.13" / "site-packages", "2.11.0+cpu")
    below = tmp_path / "project" / "below"
    path = os.pathsep.join([str(target / "bin"), os.environ["PATH"]])
    value = {"VIRTUAL_ENV": str(target), "CONDA_PREFIX": str(target), "PATH": path, "PWD": str(below)}[found_by]
    requirements, _ = build_requirements(environment, source, **{found_by: value})
    assert "torch" not in requirements


def test_who_leaves_all_kernels_out_needs_no_torch_to_build(environment: Environment, source: Path) -> None:
    requirements, _ = build_requirements(environment, source, TRYON_KERNELS_CPP="0", TRYON_KERNELS_CUDA="0")
    assert "torch" not in requirements
