"""Writing files that are whole or not there, whatever happens to the process, the machine or the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from tryon.errors import InputError

PART = ".part"
"""End of the name of a file that is not whole yet."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that takes its place under its name at the end, once it is on the disk.

    Raises:
        OSError: it cannot be written; ``filename`` is set. What had the name before still has it.
    """
    part = path.with_name(path.name + PART)
    try:
        with naming(path), part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file to errors of writing, which do not name it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch.save meets a failed write with a RuntimeError of its own.
        failure = error if isinstance(error, OSError) else error.__context__
        if not isinstance(failure, OSError):
            raise
        raise OSError(failure.errno, failure.strerror or str(failure), str(path)) from None


def remove_parts(folder: Path) -> None:
    """Remove what `whole_file` left below a folder in processes that were killed."""
    for part in folder.rglob(f"*{PART}"):
        part.unlink()


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Make a folder that appears under its name once it is complete: yields one beside it to write into.

    Raises:
        InputError: ``out`` is there and not an empty folder, or cannot be made.
    """
    out = out.absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: already there and not an empty folder, want a new or empty one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}), want a folder that can be written") from error
    try:
        yield work
        work.chmod(0o755)
        if out.exists():
            out.rmdir()
        work.rename(out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder to write into. Raises InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        found = "is a file" if folder.is_file() else str(error.strerror)
        raise InputError(f"{folder}: cannot be written into ({found}), wanted a folder that can") from None


def check_output_file(path: Path) -> None:
    """Make the folder of an output file. Raises InputError where the file cannot be written."""
    if path.is_dir():
        raise InputError(f"{path}: found a folder, wanted a file to write")
    make_folder(path.parent)
    try:
        part = path.with_name(path.name + PART)
        part.touch()
        part.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}), wanted a file that can") from None


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
