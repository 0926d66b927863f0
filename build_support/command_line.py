"""`python -m build_support.command_line`: the help of every `tryon` command, as a page of the documentation."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from tryon.cli import build_parser


def pages(parser: argparse.ArgumentParser, level: int = 2) -> Iterator[str]:
    """The help of a parser, then that of each command below it."""
    yield f"{'#' * level} {parser.prog}\n\n```\n{parser.format_help().strip()}\n```\n"
    for action in parser._actions:  # argparse has no public way to them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from pages(command, min(level + 1, 4))


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    print("# Command line\n")
    print("\n".join(pages(build_parser())))
