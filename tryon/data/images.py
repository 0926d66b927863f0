"""Image files to tensors and back. Sizes are (height, width); colours are RGB in [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

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


def open_image(path: Path, mode: str) -> Image.Image:
    """Read an image file completely, in a Pillow mode ("RGB", "L", ...). Raises InputError that names the file."""
    try:
        with Image.open(path) as image:
            return image.copy() if image.mode == mode else image.convert(mode)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, wanted an image") from None
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three for damaged files
        raise InputError(f"{path}: cannot be read as an image ({error})") from None


def resize(image: Image.Image, size: Size) -> Image.Image:
    """Resize a photo with an antialiasing filter; an image that has the size already is returned as it is."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def image_to_tensor(image: Image.Image) -> Tensor:
    """RGB image to a 3 x H x W float32 tensor in [-1, 1]."""
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1).div(127.5).sub(1).contiguous()


def tensor_to_image(tensor: Tensor) -> Image.Image:
    """3 x H x W tensor in [-1, 1] (values outside are clipped) to an RGB image."""
    levels = tensor.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def mask_to_tensor(mask: Image.Image) -> Tensor:
    """Grey mask image to a 1 x H x W float32 tensor: 1 where the grey level is above one half, else 0."""
    return torch.from_numpy(np.array(mask, dtype=np.float32)).div(255).gt(0.5).float().unsqueeze(0)
