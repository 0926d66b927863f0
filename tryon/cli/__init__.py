"""The ``tryon`` command. One module a command; each adds its arguments and runs."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from tryon.cli import convert, data, demo, evaluate, infer, train
from tryon.errors import InputError, TrainingError

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an argument in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """Parser of the whole command line."""
    parser = _Parser(prog="tryon", description="Parser-free virtual try-on: data, training, inference.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (demo, data, train, infer, evaluate, convert):
        module.add_arguments(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Bad input is one line and 2."""
    logging.basicConfig(format="tryon: %(message)s", level=logging.INFO)
    try:
        options = build_parser().parse_args(arguments)
        options.run(options)
    except InputError as error:
        print(f"tryon: {error}", file=sys.stderr)
        return BAD_INPUT
    except TrainingError as error:
        print(f"tryon: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("tryon: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0
