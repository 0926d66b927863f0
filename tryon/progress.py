"""How far a command is: a bar on a terminal, a line now and then in a file."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{items_rate}, {remaining} left] {note}"
_TERMINAL_INTERVAL, _FILE_INTERVAL = 0.5, 20.0  # seconds


class Progress:
    """Progress of ``total`` units of work, on standard error.

    Args:
        name: of the work.
        total: units in all.
        unit: what they are, in the plural.
        done: units that were done before.
        items: what the speed is told in, if not in units: how many a unit has, and what they are.
    """

    def __init__(self, name: str, total: int, unit: str, done: int = 0, items: tuple[int, str] | None = None) -> None:
        view = _Bar if sys.stderr.isatty() else _Lines
        self._view: _Bar | _Lines = view(name, total, unit, done, items or (1, unit))

    def update(self, count: int = 1, note: str = "") -> None:
        """Count units as done; ``note`` is shown beside."""
        self._view.note = note
        self._view.update(count)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._view.close()


class _Bar(tqdm):
    note = ""

    def __init__(self, name: str, total: int, unit: str, done: int, items: tuple[int, str]) -> None:
        self._items = items
        super().__init__(
            desc=f"{name:12}",
            total=total,
            unit=f" {unit}",
            initial=done,
            bar_format=_BAR,
            dynamic_ncols=True,
            mininterval=_TERMINAL_INTERVAL,
        )

    @property
    def format_dict(self) -> dict[str, Any]:
        """What `_BAR` can name."""
        values: dict[str, Any] = super().format_dict
        count, name = self._items
        rate = "?" if values["rate"] is None else f"{values['rate'] * count:.3g}"
        return values | {"items_rate": f"{rate} {name}/s", "note": self.note}


class _Lines:
    note = ""

    def __init__(self, name: str, total: int, unit: str, done: int, items: tuple[int, str]) -> None:
        self._name, self._total, self._unit, self._items = name, total, unit, items
        self._done = self._shown = done
        self._shown_at = time.monotonic()

    def update(self, count: int) -> None:
        self._done += count
        if self._done == self._total or time.monotonic() - self._shown_at >= _FILE_INTERVAL:
            self._show()

    def close(self) -> None:
        """Say where the work stopped, if that has not been said."""
        if self._done > self._shown:
            self._show()

    def _show(self) -> None:
        now = time.monotonic()
        rate = (self._done - self._shown) / max(now - self._shown_at, 1e-9)  # units a second since the last line
        count, name = self._items
        left = tqdm.format_interval((self._total - self._done) / rate)
        line = f"{self._name}: {self._done}/{self._total} {self._unit}, {rate * count:.3g} {name}/s, {left} left"
        print(f"{line}, {self.note}" if self.note else line, file=sys.stderr, flush=True)
        self._shown, self._shown_at = self._done, now
