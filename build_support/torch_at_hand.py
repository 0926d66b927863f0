"""The torch to compile against, found without importing it. Any recent one will do, whichever Python it is for."""

from __future__ import annotations

import importlib.util
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from build_support.variables import asked, variable

OLDEST_TORCH = (2, 10)


def find_torch() -> Path | None:
    """Folder of a torch that is recent enough.

    First that of the Python that runs this: pip's isolated build runs the one it installs into. Other installers, as
    uv, run theirs with a Python of its own: then those of the environments that such an installer may install into.
    """
    return next((folder for folder in _folders() if _version(folder) >= OLDEST_TORCH), None)


def torch_to_fetch() -> list[str]:
    """What the installer has to fetch for the build: a torch, where there is none to compile against."""
    if find_torch() is not None or asked("cpp") == asked("cuda") == "0":
        return []
    print(
        "tryon_kernels: found no torch >= 2.10 in this environment, VIRTUAL_ENV, CONDA_PREFIX, PATH or .venv, so the "
        "build fetches one for itself; to build against yours instead, install with --no-build-isolation",
        file=sys.stderr,
    )
    return ["torch>=2.10"]


def _folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("torch")
    if spec and spec.origin:
        yield Path(spec.origin).parent
    paths = [sysconfig.get_path("platlib"), sysconfig.get_path("purelib"), site.getusersitepackages()]
    if sys.prefix != sys.base_prefix and _sees_base_environment():
        base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
        paths += [sysconfig.get_path("platlib", vars=base), sysconfig.get_path("purelib", vars=base)]
    yield from (Path(path) / "torch" for path in paths)
    for environment in _environments():
        yield from environment.glob("lib/python3*/site-packages/torch")


def _environments() -> Iterator[Path]:
    """Environments in use where the installer was started; it sets VIRTUAL_ENV anew, but keeps PATH and PWD."""
    yield from (Path(variable(name)) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if variable(name))
    yield from (Path(folder).parent for folder in os.get_exec_path() if folder)
    start = Path(variable("PWD") or os.getcwd())
    yield from (folder / ".venv" for folder in (start, *start.parents))


def _sees_base_environment() -> bool:
    """Whether this virtual environment was made with --system-site-packages."""
    config = Path(sys.prefix, "pyvenv.cfg")
    return config.exists() and bool(re.search(r"include-system-site-packages\s*=\s*true", config.read_text()))


def _version(folder: Path) -> tuple[int, ...]:
    """(major, minor) of the torch in this folder; () where there is none."""
    version = folder / "version.py"
    match = re.search(r"__version__ = '(\d+)\.(\d+)", version.read_text()) if version.exists() else None
    return tuple(map(int, match.groups())) if match else ()
