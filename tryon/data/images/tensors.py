"""Pictures to tensors and back. Colours are RGB in [-1, 1]."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.data.images.sizes import Size


def resize(image: Image.Image, size: Size) -> Image.Image:
    """Resize a photo with an antialiasing filter; an image that has the size already is returned as it is."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def image_to_tensor(image: Image.Image) -> Tensor:
    """RGB image to a 3 x H x W float32 tensor in [-1, 1]."""
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1).div(127.5).sub(1).contiguous()


def tensor_to_image(tensor: Tensor) -> Image.Image:
    """3 x H x W tensor in [-1, 1] (values outside are clipped) to an RGB image."""
    levels = tensor.detach().float().clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())  # bytes leave a GPU, not floats


def mask_to_tensor(mask: Image.Image) -> Tensor:
    """Grey mask image to a 1 x H x W float32 tensor: 1 where the grey level is above one half, else 0."""
    return torch.from_numpy(np.array(mask, dtype=np.float32)).div(255).gt(0.5).float().unsqueeze(0)
