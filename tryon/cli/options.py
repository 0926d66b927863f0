"""Argument types that several commands share."""

from __future__ import annotations

import argparse
import logging
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image

from tryon.data.images import Size, parse_size
from tryon.data.layouts import LAYOUTS
from tryon.engine.record import gpu_name
from tryon.errors import InputError
from tryon.files import check_output_file

_log = logging.getLogger(__name__)

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def image_size(text: str) -> Size:
    """``HxW`` as an argument type."""
    try:
        return parse_size(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def device(text: str) -> str:
    """A device that is there and holds numbers, which ``meta`` does not."""
    try:
        torch.ones(1, device=text).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"found {text!r}, which cannot be used ({reason})") from None
    return text


def add_layout(parser: argparse.ArgumentParser) -> None:
    """``--layout``."""
    parser.add_argument("--layout", choices=LAYOUTS, help="how the data folder lies (default: as its folders say)")


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument("--device", type=device, metavar="D", help="cpu, cuda, cuda:1, ... (default: the GPU, or cpu)")


def chosen_device(given: str | None) -> str:
    """The device that was given, or the best that is there, which is then said."""
    if given is not None:
        return given
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    chosen = "cpu" if accelerator is None else accelerator.type
    _log.info("device: %s", "cpu" if accelerator is None else f"{chosen} ({gpu_name(chosen)})")
    return chosen


def check_image_file(path: Path) -> None:
    """`check_output_file` of a picture. Its format must be one that can be written."""
    name = Image.registered_extensions().get(path.suffix.lower())
    if name is None:
        raise InputError(f"--out: found {path}, wanted an image file such as result.png")
    try:
        Image.new("RGB", (16, 16)).save(BytesIO(), name)
    except (KeyError, OSError, ValueError) as error:
        raise InputError(
            f"--out: found {path}, a format that cannot be written here ({error}), wanted .png or the like"
        ) from None
    check_output_file(path)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """``--weights``."""
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="model folder, such as RUN/student")
