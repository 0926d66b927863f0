"""The parts of an experiment, each of which is done once, and running those that are left."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tryon.errors import InputError
from tryon.weights import write_json

TIMES_FILE = "times.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A piece of work that leaves a file or folder, whole or not at all.

    Attributes:
        name: of it, for people.
        work: how much it is beside the others.
        done: whether it has been done.
        run: does it, from where it was stopped.
    """

    name: str
    work: float
    done: Callable[[], bool]
    run: Callable[[], object]


def run_parts(parts: Sequence[Part], folder: Path) -> None:
    """Do what is left, in order, and say before each part how far all is.

    What each took is noted in ``times.json``; of a part that was interrupted, what it took in the end.
    """
    times = read_times(folder)
    left = [part for part in parts if not part.done()]
    total = sum(part.work for part in left)
    worked, began = 0.0, time.monotonic()
    for part in left:
        now = time.monotonic()
        rest = f", {tqdm.format_interval((now - began) * (total - worked) / worked)} left" if worked else ""
        _log.info("part %d of %d%s: %s", parts.index(part) + 1, len(parts), rest, part.name)
        part.run()
        worked += part.work
        times[part.name] = round(time.monotonic() - now, 1)
        write_json(folder / TIMES_FILE, times)


def read_times(folder: Path) -> dict[str, float]:
    """Seconds of the parts that are done, by name."""
    path = folder / TIMES_FILE
    try:
        times: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an experiment's times ({error})") from None
    return times
