"""Argument types that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

import torch

from tryon.data.images import Size, parse_size
from tryon.errors import InputError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def image_size(text: str) -> Size:
    """``HxW`` as an argument type."""
    try:
        return parse_size(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def device(text: str) -> str:
    """A device that is there."""
    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"found {text!r}, which cannot be used ({reason})") from None
    return text


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        "--device", type=device, default="cpu", metavar="D", help="cpu, cuda, cuda:1, ... (default: cpu)"
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """``--weights``."""
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="model folder, such as RUN/student")
