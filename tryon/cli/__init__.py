"""The ``tryon`` command. One module a command; each adds its arguments and runs."""

from __future__ import annotations

import argparse
import errno
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

import torch

from tryon.cli import app, convert, data, demo, evaluate, experiment, export, fakes, infer, page, plot, train
from tryon.errors import InputError, TrainingError

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130

_MACHINE_FAILS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
}
"""What the operating system says where a command could not know it before."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an argument in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """Parser of the whole command line."""
    parser = _Parser(prog="tryon", description="Parser-free virtual try-on: data, training, inference.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (demo, experiment, data, train, fakes, infer, app, export, page, evaluate, plot, convert):
        module.add_arguments(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. What goes wrong is one line: bad input is 2, all else 1."""
    logging.basicConfig(format="tryon: %(message)s", level=logging.INFO)
    try:
        options = build_parser().parse_args(arguments)
        options.run(options)
    except InputError as error:
        return _fail(BAD_INPUT, str(error))
    except TrainingError as error:
        return _fail(FAILED, str(error))
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        code = FAILED if error.errno in _MACHINE_FAILS else BAD_INPUT
        return _fail(code, f"{where}{error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _fail(FAILED, f"out of memory ({_first_line(error)})")
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted")
    return 0


def _fail(code: int, message: str) -> int:
    print(f"tryon: {message}", file=sys.stderr)
    return code


def _out_of_memory(error: Exception) -> bool:
    # On the CPU torch has no class of its own for it.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
