"""Checkouts, environments and a compiler to build and install with."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
SHIPPED = (
    *("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"),
    *("build_support", "csrc", "tryon_kernels", "tryon"),
)
VARIABLES = (  # that change what is built
    *("CXX", "CPPFLAGS", "CFLAGS", "CXXFLAGS", "LDFLAGS", "MAX_JOBS", "CUDA_HOME", "TORCH_CUDA_ARCH_LIST"),
    *("TRYON_KERNELS_CPP", "TRYON_KERNELS_CUDA", "TRYON_KERNELS_BUILD_ISAS", "VIRTUAL_ENV", "CONDA_PREFIX"),
)

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
    built = shutil.ignore_patterns("*.so", "_build.json", "__pycache__", "*.pyc")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=built)
        else:
            shutil.copy(source, folder / name)
    return folder


def variables(folder: Path, **given: str) -> dict[str, str]:
    """An environment with nothing of this process's that changes a build in this folder; CUDA is left out."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    paths = [path for path in os.get_exec_path() if not Path(path).is_relative_to(sys.prefix)]
    clean = {"PATH": os.pathsep.join(paths), "PWD": str(folder), "PYTHONPATH": "", "PIP_NO_INDEX": "1"}
    return {**kept, **clean, "TRYON_KERNELS_CUDA": "0", **given}


def build(source: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Build in place, as an editable install does."""
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    return subprocess.run(
        command, cwd=source, env=variables(source, **given), capture_output=True, text=True, check=False
    )


def build_wheel(source: Path, folder: Path, **given: str) -> Path:
    """The wheel of a checkout, put into this folder."""
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    result = subprocess.run(command, env=variables(source, **given), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = folder.glob("*.whl")
    return built


def noted(source: Path) -> dict[str, dict[str, str]]:
    """What the build noted of each kind of kernels."""
    return json.loads((source / "tryon_kernels" / "_build.json").read_text())


def use(source: Path) -> str:
    """What the package says of itself where it was built in place, after it has computed something."""
    command = [sys.executable, "-c", USE]
    return subprocess.run(command, cwd=source, env=variables(source), capture_output=True, text=True, check=True).stdout


class Environment:
    """A fresh virtual environment that borrows this one's torch and setuptools, and can reach no index."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.packages = Path(self.output("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        (self.packages / "borrowed.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")

    def run(self, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=variables(self.folder, **given),
            capture_output=True,
            text=True,
            check=False,
        )

    def output(self, *arguments: str, **given: str) -> str:
        result = self.run(*arguments, **given)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def install(self, what: Path, *options: str, **given: str) -> None:
        self.output("-m", "pip", "install", "--no-deps", "--no-build-isolation", *options, str(what), **given)


STAND_IN = """#!{python}
import json, os, re, shutil, sys, time
from pathlib import Path

settings = json.loads({settings!r})
arguments = sys.argv[1:]
text = " ".join(arguments)
output = Path(arguments[arguments.index("-o") + 1]) if "-o" in arguments else None
with open(settings["log"], "a") as log:
    log.write(json.dumps([time.monotonic(), *arguments]) + "\\n")
if settings["fails"] and re.search(settings["fails"], text):
    print("note: said before an error")
    print("error: enough of this", file=sys.stderr)
    if output:
        output.write_text("half of it")
    sys.exit(1)
if "-c" in arguments and not re.search(settings["compiles"], text):
    time.sleep(settings["seconds"])
    shutil.copy(Path(settings["objects"], *output.parts[output.parts.index("csrc") - 1:]), output)
    with open(settings["log"], "a") as log:
        log.write(json.dumps([time.monotonic()]) + "\\n")
    sys.exit()
os.environ["PATH"] = settings["path"]  # this one is not in it
os.execvp(settings["compiler"], [settings["compiler"], *arguments])
"""


class StandIn:
    """A C++ compiler that takes objects that lie ready, fails where it is told to, and notes how it was called.

    What `compiles` matches it does compile, with another compiler; always that file which depends on the others.
    """

    def __init__(
        self,
        folder: Path,
        objects: Path,
        *,
        fails: str = "",
        compiles: str = r"cpu/variants\.cpp",
        compiler: str = "c++",
        seconds: float = 0,
    ) -> None:
        folder.mkdir()
        self.path = folder / "c++"
        self.log = folder / "log"
        settings = {"objects": str(objects), "log": str(self.log), "fails": fails, "compiles": compiles}
        settings |= {"compiler": compiler, "path": os.environ["PATH"], "seconds": seconds}
        self.path.write_text(STAND_IN.format(python=sys.executable, settings=json.dumps(settings)))
        self.path.chmod(0o755)
        self.cxx = shlex.quote(str(self.path))  # the path has spaces

    def lines(self) -> list[list[str]]:
        """When a call began, with its arguments, or when it ended."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def calls(self, pattern: str) -> list[Sequence[str]]:
        """The arguments of the calls that a pattern is in."""
        return [line[1:] for line in self.lines() if re.search(pattern, " ".join(line[1:]))]
