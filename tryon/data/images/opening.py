"""The one place where picture files are opened."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from PIL import Image, UnidentifiedImageError, features

from tryon.data.images.colours import as_seen, on_white
from tryon.errors import InputError

MOST_PIXELS = 100_000_000
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif")
"""How files end that are taken for pictures in a folder."""

EXTRA = "tryon-kernels[photos]"
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_HEADER_BYTES = 64

T = TypeVar("T")


def open_image(path: Path, mode: Literal["RGB", "RGBA"] = "RGB") -> Image.Image:
    """Read a picture file as it is meant to be seen: upright, in sRGB (`as_seen`), its first frame if it has several.

    Args:
        path: file of any format that Pillow reads; HEIC, and AVIF with an older Pillow, need an extra.
        mode: "RGB" lays what is transparent on white, "RGBA" keeps it.

    Raises:
        InputError: the file is missing, damaged, of no known format, or has more than `MOST_PIXELS`; names it.
    """
    image = as_seen(read_image(path), str(path))
    return on_white(image) if mode == "RGB" else image.convert("RGBA")


def may_be_transparent(path: Path) -> bool:
    """Whether a picture file's mode has transparency, by its beginning. Raises InputError as `open_image` does."""
    return _read(path, lambda image: image.has_transparency_data)


def read_image(path: Path) -> Image.Image:
    """Read a picture file completely as it is stored, in the mode it has. Raises InputError as `open_image` does."""
    return _read(path, _loaded)


def _loaded(image: Image.Image) -> Image.Image:
    image.load()
    return image


def _read(path: Path, part: Callable[[Image.Image], T]) -> T:
    """What `part` takes from an opened file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of sizes and oddities; what is refused gets one line of ours
        try:
            _prepare(path)
            with Image.open(path) as image:
                _check_pixels(path, image)
                return part(image)
        except (InputError, MemoryError):
            raise
        except FileNotFoundError:
            raise InputError(f"{path}: no such file, wanted an image") from None
        except Image.DecompressionBombError as error:
            raise InputError(f"{path}: found too many pixels ({error}), wanted at most {MOST_PIXELS:,}") from None
        except UnidentifiedImageError:
            raise InputError(f"{path}: cannot be read as an image (of no known format)") from None
        except Exception as error:  # a damaged file fails in whatever way its bytes happen to
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise InputError(f"{path}: cannot be read as an image ({reason})") from None


def _check_pixels(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise InputError(
            f"{path}: found {image.height}x{image.width}, {image.width * image.height:,} pixels;"
            f" wanted at most {MOST_PIXELS:,}"
        )


def _prepare(path: Path) -> None:
    """Have what reads HEIC and AVIF files ready. Raises InputError where it is not installed."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if header[4:8] != b"ftyp":
        return
    end = min(int.from_bytes(header[:4], "big"), len(header))
    brands = {header[8:12], *(header[i : i + 4] for i in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        if not features.check("avif"):
            raise InputError(f"{path}: found an AVIF picture, which this Pillow does not read; pip install {EXTRA}")
    elif brands & _HEIF_BRANDS:
        try:
            importlib.import_module("pillow_heif").register_heif_opener()
        except ImportError:
            raise InputError(f"{path}: found a HEIC picture, to be read by pillow-heif; pip install {EXTRA}") from None
