"""The parts of an experiment, each of which is done once, and sharing those that are left among processes."""

from __future__ import annotations

import ctypes
import json
import logging
import multiprocessing
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tryon.data.loader import PR_SET_PDEATHSIG
from tryon.engine.lock import held
from tryon.errors import InputError, TrainingError
from tryon.files import make_folder
from tryon.weights import write_json

PARTS_FOLDER = "parts"
LOOK_EVERY = 0.5  # seconds, where all that can be done is being done by others

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A piece of work that leaves a file or folder, whole or not at all.

    Attributes:
        name: of it, for people.
        work: how much it is beside the others.
        done: whether it has been done.
        run: does it, from where it was stopped.
        needs: parts that must be done before.
    """

    name: str
    work: float
    done: Callable[[], bool]
    run: Callable[[], object]
    needs: tuple[Part, ...] = ()

    @property
    def file_name(self) -> str:
        """Its name as files can have it."""
        return re.sub(r"\W+", "-", self.name)


def run_parts(parts: Sequence[Part], folder: Path, processes: int = 1) -> None:
    """Do what is left, in order where parts need others.

    Whoever runs the same parts of the same folder at the same time, on another machine too, shares the work: a part is
    held by one process, and free again when that ends, however it ends. What each part took is noted in
    ``parts/NAME.json``; of one that was interrupted, what it took in the end.

    Args:
        parts: all of them.
        folder: of the experiment.
        processes: how many share the work here.
    """
    make_folder(folder / PARTS_FOLDER)
    with _helping(processes - 1, parts, folder):
        _work(parts, folder, processes)


def read_times(folder: Path) -> dict[str, float]:
    """Seconds of the parts that are done, by name."""
    times = {}
    for path in sorted((folder / PARTS_FOLDER).glob("*.json")):
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            times[str(noted["name"])] = float(noted["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: cannot be read as a part's time ({error!r})") from None
    return times


def _work(parts: Sequence[Part], folder: Path, processes: int) -> None:
    worked, began = 0.0, time.monotonic()
    while left := [part for part in parts if not part.done()]:
        rest = sum(part.work for part in left)
        speed = processes * worked / (time.monotonic() - began)
        at = f"{len(parts) - len(left) + 1} of {len(parts)}" + (
            f", {tqdm.format_interval(rest / speed)} left" if speed else ""
        )
        for part in left:
            if all(other.done() for other in part.needs) and _take(part, folder, at):
                worked += part.work
                break
        else:
            time.sleep(LOOK_EVERY)


def _take(part: Part, folder: Path, at: str) -> bool:
    """Do a part, unless another process does it: whether this one did."""
    with held(_lock_of(part, folder)) as free:
        if not free or part.done():
            return False
        for other in part.needs:  # whoever did it may still hold its folder
            with held(_lock_of(other, folder), wait=True):
                pass
        _log.info("part %s: %s", at, part.name)
        began = time.monotonic()
        part.run()
        seconds = round(time.monotonic() - began, 1)
        note = folder / PARTS_FOLDER / f"{part.file_name}.json"
        write_json(note, {"name": part.name, "seconds": seconds, "process": f"{platform.node()}:{os.getpid()}"})
    return True


def _lock_of(part: Part, folder: Path) -> Path:
    return folder / PARTS_FOLDER / f"{part.file_name}.lock"


@contextmanager
def _helping(count: int, parts: Sequence[Part], folder: Path) -> Iterator[None]:
    """Other processes that share the work; where this one leaves early they save theirs and end."""
    context = multiprocessing.get_context("fork")
    helpers = [context.Process(target=_help, args=(parts, folder, count + 1)) for _ in range(count)]
    for helper in helpers:
        helper.start()
    try:
        yield
    except BaseException:
        for helper in helpers:
            helper.terminate()
        raise
    finally:
        for helper in helpers:
            helper.join()


def _help(parts: Sequence[Part], folder: Path, processes: int) -> None:
    os.setpgid(0, 0)  # an interruption from the terminal comes by way of the process that began this one
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    with suppress(InputError, TrainingError):  # who began it comes to the same part, and says so
        _work(parts, folder, processes)
