"""One run a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tryon.errors import InputError

LOCK_FILE = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the system lets go of it when the process ends, however it ends.

    The lock is a record lock (``lockf``): forked processes that read data do not hold it on, and it works on NFS.

    Raises:
        InputError: another process holds it.
    """
    with (folder / LOCK_FILE).open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: in use by another run, wanted a folder of its own for each") from None
        yield
