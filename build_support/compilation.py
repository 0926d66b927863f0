"""Running compilers: many files at a time, and in one line what goes wrong."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from build_support.variables import jobs

TORCH_TARGET_VERSION = "0x020a000000000000"  # 2.10, in the form that torch's headers want


class CannotCompileError(Exception):
    """Why kernels cannot be compiled, in words to follow "because"."""


def torch_headers(torch: Path) -> list[str]:
    """Options to compile against torch's stable ABI."""
    return ["-isystem", str(torch / "include"), f"-DTORCH_TARGET_VERSION={TORCH_TARGET_VERSION}"]


def nameless(torch: Path) -> str:
    """An option for the headers' messages, which name their files: not by this machine's paths."""
    return f"-ffile-prefix-map={torch / 'include'}/="


def say(line: str) -> None:
    """Print a line whole: `print` writes its end apart, and a line of another thread may come between."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def output_of(command: Sequence[str], source: str = "") -> subprocess.CompletedProcess[str]:
    """What a compiler says, of a source as its standard input if need be."""
    return subprocess.run(command, input=source, capture_output=True, text=True, errors="replace", check=False)


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The line that says best what went wrong."""
    lines = (result.stdout + result.stderr).strip().splitlines() or [f"exit status {result.returncode}"]
    return next((line for line in lines if re.search(r"\berror:|\bfatal\b", line)), lines[0])


def run(command: Sequence[str], failure: str) -> None:
    """Run a compiler. Raises CannotCompileError with these words and the compiler's where it fails."""
    say(shlex.join(command))
    result = output_of(command)
    sys.stderr.write(result.stdout + result.stderr)
    if result.returncode != 0:
        raise CannotCompileError(f"{failure} ({complaint(result)})")


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads to compile in. When an error ends the block, what has not begun is dropped."""
    pool = ThreadPoolExecutor(jobs())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def start(
    pool: ThreadPoolExecutor, compiler: str, command: Sequence[str], sources: Sequence[str], folder: Path
) -> list[Future[str]]:
    """Compile the sources into this folder."""

    def compile_one(source: str) -> str:
        file = (folder / source).with_suffix(".o")
        file.parent.mkdir(parents=True, exist_ok=True)
        run([*command, "-c", source, "-o", str(file)], f'"{compiler}" does not compile {source}')
        return str(file)

    return [pool.submit(compile_one, source) for source in sources]


def objects(compilations: Sequence[Future[str]]) -> list[str]:
    """The objects, once they are there. Raises CannotCompileError for the first that cannot be had."""
    return [compilation.result() for compilation in compilations]
