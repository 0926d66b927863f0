"""CUDA sources compiled by the host's compiler, to run without a GPU."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[2] / "csrc"
COMPILE = (
    *("-std=c++20", "-O1", "-g", "-fPIC", "-Wall", "-Wextra"),
    "-fno-gnu-unique",  # two libraries in one process share no variable of the same name
    *("-I", str(HERE / "include"), "-I", str(CSRC)),
)


def compile_for_host(
    sources: Sequence[Path], output: Path, options: Sequence[str] = (), libraries: Sequence[str] = ()
) -> None:
    """A shared library if the output's name ends in .so, else a program.

    Sources are compiled side by side, to objects in a folder beside the output. Those that are there already, of the
    same options and no older than what they were made from, are used again.
    """
    compiler = [*shlex.split(os.environ.get("CXX", "c++")), *COMPILE, *options]
    folder = output.with_name(f"{output.name}.objects")
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = [*sources, HERE / "host_run.cpp"]
        objects = list(pool.map(lambda source: _object(compiler, source, folder / f"{source.name}.o"), files))
    # Symbolic: a torch with CUDA brings functions of the same names, which must not serve in place of the library's.
    linking = ("-shared", "-Wl,-Bsymbolic") if output.suffix == ".so" else ()
    _run([*compiler, *linking, *map(str, objects), *libraries, "-o", str(output)])


def _object(compiler: Sequence[str], source: Path, file: Path) -> Path:
    compile_object([*compiler, "-x", "c++", "-c", str(source), "-o", str(file)], file)
    return file


def compile_object(command: Sequence[str], file: Path) -> None:
    """Run the compiler, unless the same command made this object after every change of what it was made from."""
    command = [*command, "-MMD", "-MF", str(file.with_suffix(".d"))]
    record = file.with_suffix(".command")
    if not (record.exists() and record.read_text() == shlex.join(command) and _is_newest(file)):
        record.unlink(missing_ok=True)
        _run(command)
        record.write_text(shlex.join(command))


def _is_newest(file: Path) -> bool:
    """Whether an object is newer than all files that the compiler read for it, as the compiler noted them."""
    noted = file.with_suffix(".d").read_text().partition(":")[2]
    made_from = (Path(name) for name in shlex.split(noted.replace("\\\n", " ")))
    return file.exists() and all(path.exists() and path.stat().st_mtime < file.stat().st_mtime for path in made_from)


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{result.stdout}{result.stderr}")
