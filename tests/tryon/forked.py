"""The `tryon` command in a process that can be killed, without the seconds of importing torch: a fork of this one."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import distributed

from tryon.cli import main


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or minus the signal, and what it wrote to standard error."""

    code: int
    errors: str


class Forked:
    """A running command line.

    Args:
        arguments: of `tryon`.
        before: called in the new process before the command.
    """

    def __init__(self, *arguments: object, before: Callable[[], object] = lambda: None) -> None:
        # A pipe: limits of what the process may write hold for files.
        self._errors, errors = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            code = 1
            try:
                os.dup2(errors, 2)
                code = _run([str(argument) for argument in arguments], before)
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(errors)

    def wait_until_stopped(self) -> None:
        """Wait until it has stopped itself by SIGSTOP."""
        _, status = os.waitpid(self.process, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def children(self) -> list[int]:
        """Processes that it began."""
        return [int(child) for child in Path(f"/proc/{self.process}/task/{self.process}/children").read_text().split()]

    def signal(self, *numbers: int) -> None:
        """Send signals, one after the other."""
        for number in numbers:
            os.kill(self.process, number)

    def ended(self) -> Ended:
        """Wait for its end."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        with os.fdopen(self._errors) as errors:
            return Ended(code, errors.read())


def _run(arguments: list[str], before: Callable[[], object]) -> int:
    sys.stdout, sys.stderr = io.StringIO(), os.fdopen(2, "w", buffering=1)
    logging.getLogger().handlers.clear()  # pytest's
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)  # the threads of this process are not in its fork
    before()
    try:
        return main(arguments)
    except SystemExit as error:
        return int(error.code or 0)


def tryon(*arguments: object, before: Callable[[], object] = lambda: None) -> Ended:
    """Run a command line to its end in a process of its own."""
    return Forked(*arguments, before=before).ended()


def together(count: int, *arguments: object, before: Callable[[int], object] = lambda rank: None) -> list[Ended]:
    """Run a command line to its end in several processes that know of each other, as torchrun starts them.

    Args:
        count: of the processes.
        arguments: of `tryon`.
        before: called in each process before the command, with its rank.
    """
    # What torchrun keeps for them, so that it outlives each of them.
    store = distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    environment = {
        "WORLD_SIZE": count,
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": store.port,
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "TORCHELASTIC_RESTART_COUNT": 0,
    }

    def begin(rank: int) -> None:
        for name, value in (environment | {"RANK": rank, "LOCAL_RANK": rank}).items():
            os.environ[name] = str(value)
        before(rank)

    processes = [Forked(*arguments, before=partial(begin, rank)) for rank in range(count)]
    return [process.ended() for process in processes]


def at(event: str, path: Path, act: Callable[[], object]) -> Callable[[], None]:
    """What makes a process act just before the first such event: "open", "os.rename", "os.remove" or "os.mkdir"."""

    def begin() -> None:
        process = os.getpid()
        waits = True

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            nonlocal waits
            if waits and name == event and str(arguments[0]) == str(path) and os.getpid() == process:
                waits = False
                act()

        sys.addaudithook(hook)

    return begin
