"""The losses of every step, as CSV."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from tryon.errors import InputError
from tryon.files import naming

LOG_FILE = "log.csv"


class LossLog:
    """A line a step, written at once; a resumed run drops the lines that lie after its checkpoint.

    Args:
        path: the file.
        done: steps before the first that will be written.
    """

    def __init__(self, path: Path, done: int) -> None:
        resumes = done > 0 and path.exists()
        self._path = path
        self._file = path.open("r+b" if resumes else "wb")
        kept = self._file.readlines()[: done + 1] if resumes else []
        self._file.truncate(sum(len(line) for line in kept))
        self._file.seek(0, os.SEEK_END)
        self._has_header = bool(kept)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a step's losses."""
        rows = [] if self._has_header else [["step", "loss", *values]]
        rows.append([str(step), f"{sum(values.values()):.6g}", *(f"{value:.6g}" for value in values.values())])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        with naming(self._path):
            self._file.write(text.getvalue().encode())
            self._file.flush()
        self._has_header = True

    def sync(self) -> None:
        """Bring every line to the disk, before a checkpoint that relies on it."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> LossLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_log(path: Path) -> dict[str, list[float]]:
    """The columns of a log by name. InputError where it is not one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        whole = [row for row in rows if len(row) == len(header)]  # the last line of a killed run may be half a one
        return {name: [float(row[column]) for row in whole] for column, name in enumerate(header)}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a log of losses ({error})") from None
