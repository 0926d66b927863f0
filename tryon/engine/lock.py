"""One run a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tryon.errors import InputError

LOCK_FILE = "lock"


@contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold a file for this process, if no other does; the system lets go of it when the process ends, however it ends.

    The lock is a record lock (``lockf``): forked processes do not hold it on, and it works on NFS.

    Args:
        path: of the file, which is made.
        wait: until it is free.

    Yields:
        Whether it is held.
    """
    with path.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process.

    Raises:
        InputError: another process holds it.
    """
    with held(folder / LOCK_FILE) as free:
        if not free:
            raise InputError(f"{folder}: in use by another run, wanted a folder of its own for each")
        yield
