"""The warp and the flow as pictures for people, and garment masks that are corrected by painting."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from tryon.data.images import tensor_to_image
from tryon.models import Warped
from tryon.networks.flow import map_of_offset

SHOWN_HEIGHT = 384  # pictures of small networks are enlarged to it
ADDING, REMOVING = "rgba(16, 185, 129, 0.6)", "rgba(239, 68, 68, 0.6)"
VEIL, VEIL_SHARE = (100, 116, 139), 0.75
SHOWS = 40  # of 255: the alpha of a stroke from which on it counts; brushes have soft edges


def warp_picture(warped: Warped) -> Image.Image:
    """The warped garment on white."""
    garment, mask = warped.garment[0].float(), warped.mask[0].float()
    return _shown(tensor_to_image(garment * mask + (1 - mask)))


def flow_picture(warped: Warped) -> Image.Image:
    """The flow on the garment: hue is the direction that a pixel came from, strength how far.

    The strongest colour is the largest displacement of the garment's pixels; red comes from the right, and the hues
    go on clockwise. White is where a pixel has not moved, or where there is no garment.
    """
    sampling_map, mask = warped.flow.sampling_map.float().cpu(), warped.mask[0, 0].float().cpu().numpy() > 0.5
    height, width = sampling_map.shape[-2:]
    moved = sampling_map - map_of_offset(torch.zeros_like(sampling_map))
    x, y = (moved[0, channel].numpy() * (size - 1) / 2 for channel, size in enumerate((width, height)))  # in pixels
    distance = np.hypot(x, y)
    farthest = max(1.0, float(distance[mask].max(initial=0)))
    hue = np.mod(np.arctan2(y, x) / (2 * np.pi), 1) * 255
    strength = np.where(mask, distance / farthest, 0).clip(0, 1) * 255
    colours = np.stack((hue, strength, np.full_like(hue, 255)), axis=-1).round().astype(np.uint8)
    return _shown(Image.fromarray(colours, mode="HSV").convert("RGB"))


def veiled(garment: Image.Image, mask: Image.Image) -> Image.Image:
    """A garment (RGB) with a veil over what its mask (L) leaves out."""
    return Image.composite(garment, Image.blend(garment, Image.new("RGB", garment.size, VEIL), VEIL_SHARE), mask)


def corrected_mask(mask: Image.Image, strokes: Image.Image) -> Image.Image:
    """A garment mask (L) with what was painted on it: `ADDING` is garment, `REMOVING` is not.

    Args:
        mask: 255 on the garment.
        strokes: RGBA of the same proportions, transparent where nothing was painted.

    Returns:
        Mask of the size that `mask` has.
    """
    painted = strokes.convert("RGBA").resize(mask.size, Image.Resampling.NEAREST)
    red, green, _, alpha = (np.asarray(channel) for channel in painted.split())
    chosen = np.where(green > red, np.uint8(255), np.uint8(0))
    return Image.fromarray(np.where(alpha >= SHOWS, chosen, np.asarray(mask)))


def is_painted(strokes: Image.Image) -> bool:
    """Whether there is a stroke."""
    return bool((np.asarray(strokes.convert("RGBA").getchannel("A")) >= SHOWS).any())


def _shown(image: Image.Image) -> Image.Image:
    scale = max(1, round(SHOWN_HEIGHT / image.height))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
