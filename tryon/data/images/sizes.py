"""Sizes of pictures: (height, width) in pixels."""

from __future__ import annotations

from tryon.errors import InputError

Size = tuple[int, int]
LARGEST_SIDE = 65535  # what a JPEG file can have


def parse_size(text: str) -> Size:
    """Read ``HxW``, such as ``256x192``. Raises InputError for anything else."""
    height, separator, width = text.lower().partition("x")
    if not separator or not height.isdecimal() or not width.isdecimal():
        raise InputError(f"size: found {text!r}, wanted HEIGHTxWIDTH in pixels, such as 256x192")
    if not all(1 <= int(side) <= LARGEST_SIDE for side in (height, width)):
        raise InputError(f"size: found {text}, wanted 1 to {LARGEST_SIDE} pixels each way")
    return int(height), int(width)


def format_size(size: Size) -> str:
    """Write a size the way `parse_size` reads it."""
    return f"{size[0]}x{size[1]}"
