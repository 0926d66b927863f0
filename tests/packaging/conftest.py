from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging import kept_objects
from tests.packaging.building import Environment, StandIn, build_wheel, copy_of_the_source


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's wheel, of a build with all kernels; in a path with spaces, as all here."""
    folder = tmp_path_factory.mktemp("a wheel")
    source = copy_of_the_source(folder / "source")
    options = {"TRYON_KERNELS_CPP": "1", "TRYON_KERNELS_CUDA": "", "TORCH_CUDA_ARCH_LIST": "9.0"}
    return build_wheel(source, folder, CXX=kept_objects.CXX, **options)


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
