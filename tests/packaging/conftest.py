from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.building import Environment, StandIn, copy_of_the_source, variables


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's wheel, of a build with all kernels; in a path with spaces, as all here."""
    folder = tmp_path_factory.mktemp("a wheel")
    source = copy_of_the_source(folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    everything = variables(source, TRYON_KERNELS_CPP="1", TRYON_KERNELS_CUDA="", TORCH_CUDA_ARCH_LIST="9.0")
    result = subprocess.run(command, env=everything, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "an environment")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return copy_of_the_source(tmp_path / "a checkout")


@pytest.fixture
def stand_in(wheel: Path, tmp_path: Path) -> Callable[..., StandIn]:
    """Make a compiler that has the objects of the wheel."""
    (objects,) = (wheel.parent / "source" / "build").glob("temp*")
    return lambda **settings: StandIn(tmp_path / "a compiler", objects, **settings)
