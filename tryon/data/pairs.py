"""Pair files: the names of a person's and a garment's picture a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tryon.errors import InputError

_MOST_COLUMNS = 3
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class PairColumns:
    """Where the lines of a pair file have what.

    Attributes:
        person: column of the person.
        garment: column of the garment.
        header: whether the first line names the columns.
    """

    person: int = 0
    garment: int = 1
    header: bool = False

    @property
    def wanted(self) -> str:
        """A line, as an error shows it."""
        names = ["number"] * (max(self.person, self.garment) + 1)
        names[self.person], names[self.garment] = "person.jpg", "garment.jpg"
        return f"'{' '.join(names)}'"


USUAL_COLUMNS = PairColumns()


def read_names(path: Path, columns: PairColumns = USUAL_COLUMNS) -> Iterator[tuple[int, str, str]]:
    """Read a pair file line by line: yields the line's number and the names of person and garment.

    Tabs separate names, or commas, or spaces: the first of them that the line has. A name that holds what separates is
    in double quotes. A third column, the garment's category in some sets, is ignored. Empty lines and lines that begin
    with ``#`` hold no pair.

    Raises:
        InputError: the file or a line cannot be read; names the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise InputError(f"{path}: no such pair file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a pair file ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a pair file ({error}), wanted UTF-8 text") from None
    needed = max(columns.person, columns.garment) + 1
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#") or (columns.header and number == 1):
            continue
        names = _names(line, f"{path}:{number}", columns)
        if not needed <= len(names) <= _MOST_COLUMNS:
            raise InputError(
                f"{path}:{number}: found {len(names)} {'name' if len(names) == 1 else 'names'} in {_shown(line)},"
                f" wanted {columns.wanted} and at most a category; names with spaces in double quotes or between tabs"
            )
        yield number, names[columns.person], names[columns.garment]


def _names(line: str, where: str, columns: PairColumns) -> list[str]:
    outside = _QUOTED.sub("", line)
    separator = next((sign for sign in "\t," if sign in outside), " ")
    try:
        (fields,) = csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True)
    except csv.Error as error:
        raise InputError(
            f"{where}: found {_shown(line)}, which is not quoted right ({error}), wanted {columns.wanted}"
        ) from None
    return [field.strip() for field in fields if field.strip()]


def _shown(line: str) -> str:
    return repr(line if len(line) <= 80 else line[:77] + "...")
