from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, StandIn, build_wheel, variables

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout, unpacked."""
    folder = tmp_path_factory.mktemp("a source distribution")
    built = (
        "*.so",
        "_build.json",
        "__pycache__",
        "*.egg-info",
        ".git",
        ".venv",
        "build",
        "dist",
        ".*_cache",
        ".hypothesis",
    )
    source = shutil.copytree(ROOT, folder / "checkout", ignore=shutil.ignore_patterns(*built))
    command = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(folder)]
    subprocess.run(command, cwd=source, env=variables(source), check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(folder)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_source_distribution_holds_what_its_documents_name(document: str, unpacked: Path) -> None:
    text = (unpacked / document).read_text()
    linked = re.findall(r"\]\((?!http)([^)#]+)", text)
    folders = re.findall(r"`((?:csrc|tryon|tryon_kernels|tests|benchmarks|docs)/[\w/]*)`", text)
    assert [name for name in (*linked, *folders) if not (unpacked / name).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (unpacked / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)`", text)) <= targets
    assert len(linked) + len(folders) + len(targets) > 10


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="this is no git checkout")
def test_the_source_distribution_holds_every_file_of_the_repository(unpacked: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    missing = {name for name in listed.splitlines() if (ROOT / name).exists() and not (unpacked / name).exists()}
    assert missing == {".gitignore"}


def test_a_wheel_from_the_source_distribution_is_the_one_from_the_checkout(
    unpacked: Path, wheel: Path, stand_in: Callable[..., StandIn], tmp_path: Path
) -> None:
    built = build_wheel(unpacked, tmp_path, CXX=stand_in().cxx)
    names = set(zipfile.ZipFile(wheel).namelist()) - {"tryon_kernels/_cuda.so"}
    assert set(zipfile.ZipFile(built).namelist()) == names
