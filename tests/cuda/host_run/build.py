"""CUDA sources compiled by the host's compiler, to run without a GPU."""

from __future__ import annotations

import hashlib
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


def compile_object(command: Sequence[str], file: Path, noting: str = "-MMD") -> None:
    """Run the compiler, unless the same command made this object from files of the same contents.

    Of system headers, as torch's are, it knows where they are noted too: with -MD.
    """
    command = [*command, noting, "-MF", str(file.with_suffix(".d"))]
    record = file.with_suffix(".made_from")
    if not (file.exists() and record.exists() and record.read_text() == _digest(command, file)):
        record.unlink(missing_ok=True)
        _run(command)
        record.write_text(_digest(command, file))


def _digest(command: Sequence[str], file: Path) -> str:
    """Of the command and of all files that the compiler noted as read for an object."""
    noted = file.with_suffix(".d").read_text().partition(":")[2]
    digest = hashlib.sha256(shlex.join(command).encode())
    for name in shlex.split(noted.replace("\\\n", " ")):
        digest.update(Path(name).read_bytes() if Path(name).exists() else b"")
    return digest.hexdigest()


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{result.stdout}{result.stderr}")
