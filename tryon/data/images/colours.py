"""Any picture of Pillow's as it is meant to be seen: upright, in sRGB, with its transparency."""

from __future__ import annotations

import logging
import warnings
from functools import cache
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

from tryon.errors import InputError

_log = logging.getLogger(__name__)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a stored picture upright, by its EXIF orientation."""

_STRAIGHT = {"RGBa": "RGBA", "La": "LA", "P": "RGBA", "PA": "RGBA"}
"""Modes whose numbers are not the colours themselves, and the mode in which they are."""

_DEEP_FORMATS = ("PNG", "PPM")  # whole numbers in these are of 16 bits
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # by the colour space of an ICC profile


def as_seen(image: Image.Image, name: str = "image") -> Image.Image:
    """A picture of any mode upright and in sRGB.

    The EXIF orientation is applied, 16 bits become 8, and an ICC profile is turned into sRGB. An orientation or a
    profile that cannot be used is left out, with a line in the log.

    Args:
        image: as Pillow opened it.
        name: what to call it in messages: a file name, say.

    Returns:
        RGB, or RGBA where something of it is transparent.

    Raises:
        InputError: its levels have no known white, as those of floating-point pictures.
    """
    turn = _TURNS.get(_orientation(image, name))
    profile = image.info.get("icc_profile")
    alpha = _transparency(image)
    colours = _eight_bits(image, name)
    seen = (_from_profile(colours, profile, name) if profile else None) or colours.convert("RGB")
    if alpha is not None:
        seen.putalpha(alpha)
    if turn is not None:
        seen = seen.transpose(turn)
    seen.info = {}  # what was in it has been applied
    return seen


def on_white(image: Image.Image) -> Image.Image:
    """A picture that `as_seen` returned as RGB, what is transparent laid on white."""
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def upright(image: Image.Image, name: str = "image") -> Image.Image:
    """The EXIF orientation applied, and nothing else: for pictures whose levels are no colours."""
    turn = _TURNS.get(_orientation(image, name))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image, name: str) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of damaged data that have no orientation
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # damaged EXIF data fail in whatever way their bytes happen to
        _warn(f"{name}: its EXIF data cannot be read ({_reason(error)}); taken as upright")
        return 1


def _transparency(image: Image.Image) -> Image.Image | None:
    """Alpha of a picture (mode L), None where all is opaque."""
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):
        alpha = Image.fromarray(np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8))
    else:
        alpha = image.convert("LA" if image.mode == "La" else "RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """The picture in a mode of 8 bits or less a channel, colours not premultiplied by alpha."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _DEEP_FORMATS):
        levels = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        kind = "whole" if image.mode == "I" else "floating-point"
        raise InputError(f"{name}: found {kind} numbers of 32 bits, whose white is not known, wanted 8 or 16 bits")
    return image.convert(_STRAIGHT.get(image.mode, image.mode))


def _from_profile(image: Image.Image, content: bytes, name: str) -> Image.Image | None:
    """The picture in sRGB by its ICC profile, None where that changes nothing or cannot be."""
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        if image.mode == "LAB" or "sRGB" in ImageCms.getProfileDescription(profile):
            return None
        space = profile.profile.xcolor_space.strip()
        if space not in _spaces(image):
            raise ValueError(f"it is of {space} colours, and the picture of {image.mode}")
        return ImageCms.profileToProfile(image.convert(_PROFILE_MODES[space]), profile, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError) as error:  # a Pillow may come without ImageCms
        _warn(f"{name}: its colour profile cannot be used ({_reason(error)}); taken as sRGB")
        return None


def _spaces(image: Image.Image) -> tuple[str, ...]:
    """Colour spaces of the profiles that a picture can have."""
    if image.mode == "CMYK":
        return ("CMYK",)
    return ("RGB", "GRAY") if image.mode in ("1", "L", "LA") else ("RGB",)


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache  # once for a file, however often it is read
def _warn(message: str) -> None:
    _log.warning("%s", message)


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
