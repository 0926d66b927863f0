"""The Kernel Hub's project, built as kernel-builder is documented to build one of Python alone; it is not run here."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import tryon_kernels as tk
from build_support.kernel_hub import NO_LIBRARY, PACKAGE, write_project

pytestmark = pytest.mark.packaging

OPS = """import torch
ops = torch.ops.{id}
def add_op_namespace_prefix(op_name):
    return f"{id}::{{op_name}}"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kernel hub") / "project"
    write_project(out)
    return out


def built(project: Path, out: Path, unique: str) -> Path:
    """A repository of the Kernel Hub with the variant for CPUs."""
    variant = out / "build" / "torch-cpu"
    shutil.copytree(project / "torch-ext" / PACKAGE, variant)
    name = f"_tryon_kernels_cpu_{unique}"
    (variant / "_ops.py").write_text(OPS.format(id=name))
    facts = {"name": "tryon-kernels", "id": name, "version": 0, "license": "Apache-2.0", "backend": {"type": "cpu"}}
    (variant / "metadata.json").write_text(json.dumps(facts | {"python-depends": []}))
    return variant


def loaded(variant: Path) -> ModuleType:
    """A kernel as `kernels` imports it: a package of its unique name, from its folder."""
    name = json.loads((variant / "metadata.json").read_text())["id"]
    spec = importlib.util.spec_from_file_location(name, variant / "__init__.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def versions(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ModuleType]]:
    """Two versions in one process."""
    folder = tmp_path_factory.mktemp("kernels")
    modules = [loaded(built(project, folder / unique, unique)) for unique in ("a1b2c3d", "e4f5a6b")]
    yield modules
    for name in [name for name in sys.modules if name.startswith("_tryon_kernels_cpu_")]:
        del sys.modules[name]


def test_what_is_imported_is_the_kernel_torch_triton_or_pythons_own(project: Path) -> None:
    allowed = sys.stdlib_module_names | {"torch", "triton"}
    for file in (project / "torch-ext").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, file
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module.partition(".")[0] in allowed, file


def test_every_op_is_registered_under_the_kernels_own_name(project: Path) -> None:
    text = "".join(file.read_text() for file in (project / "torch-ext").rglob("*.py"))
    registered = re.findall(r"register_fake\((.*?)[,)] ", text)
    assert len(registered) == 10
    assert all(name.startswith("add_op_namespace_prefix(") for name in registered)
    assert f"torch.ops.{PACKAGE}" not in text
    assert f'"{PACKAGE}::' not in text


def test_two_versions_live_in_one_process_with_ops_of_their_own(versions: list[ModuleType]) -> None:
    for module in versions:
        namespace = getattr(torch.ops, module.__name__)
        features = torch.rand(1, 3, 5, 4)
        assert torch.equal(
            namespace.correlation(features, features, 1, 1, None, True),
            module.correlation(features, features, radius=1),
        )


def test_its_values_and_gradients_are_the_packages(versions: list[ModuleType]) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(1, 4, 9, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    flow = 3 * torch.rand(1, 2, 9, 7, generator=generator, dtype=torch.float64)
    results = []
    for module in (tk, *versions):
        inputs = [one.clone().requires_grad_() for one in (first, second, flow)]
        volume = module.correlation(module.warp(inputs[0], inputs[2]), inputs[1], radius=2, negative_slope=0.1)
        volume.square().sum().backward()
        results.append([volume, *(one.grad for one in inputs)])
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_it_says_why_it_has_no_compiled_kernels(versions: list[ModuleType]) -> None:
    libraries = sys.modules[f"{versions[0].__name__}.libraries"]
    assert libraries.cpp_obstacle() == NO_LIBRARY


def test_its_triton_kernels_are_its_own(versions: list[ModuleType]) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    modules = [importlib.import_module(f"{module.__name__}.triton") for module in versions]
    assert modules[0].multiply is not modules[1].multiply


@pytest.mark.extras
def test_the_hubs_own_library_reads_the_project_and_loads_the_kernel(project: Path, tmp_path: Path) -> None:
    kernels = pytest.importorskip("kernels", reason="kernels is not installed: make extras")
    from kernels._rust import Build

    found = {str(backend).lower() for backend in Build.open(project).general.backends}
    assert found == {"cpu", "cuda", "rocm"}
    built(project, tmp_path, "c7d8e9f")
    module = kernels.get_local_kernel(tmp_path, backend="cpu")
    features = torch.rand(1, 3, 5, 4)
    torch.testing.assert_close(module.correlation(features, features), tk.correlation(features, features))
