"""Frames of a network's proportions in photos of others: (left, top, right, bottom) in the photo's pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tryon.data.images.sizes import Size

Frame = tuple[int, int, int, int]

SAME_PROPORTIONS = 0.03  # difference of two ratios of width to height that is as good as none
GARMENT_FILL = 0.95  # share of a frame's width or height that the garments of published sets take
_HALF = 128


def whole(image: Image.Image) -> Frame:
    """The frame that is the whole photo."""
    return 0, 0, image.width, image.height


def frame_of_person(photo: Image.Image, size: Size) -> Frame:
    """The frame of a size's proportions in the middle of a photo, of the photo's height.

    What a wide photo has beside it is left out; a narrow photo is less wide than it. A photo of these proportions, to
    `SAME_PROPORTIONS`, is its own frame.
    """
    if _alike(photo, size):
        return whole(photo)
    width = max(1, round(photo.height * size[1] / size[0]))
    left = (photo.width - width) // 2
    return left, 0, left + width, photo.height


def frame_of_garment(mask: Image.Image, size: Size) -> Frame:
    """The frame of a size's proportions around a garment, which it fills as in the published sets.

    A product photo of these proportions, to `SAME_PROPORTIONS`, is its own frame.
    """
    if _alike(mask, size):
        return whole(mask)
    inside = np.asarray(mask) >= _HALF
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    height = max(bottom - top, (right - left) * size[0] / size[1]) / GARMENT_FILL
    width = height * size[1] / size[0]
    left, top = round((left + right - width) / 2), round((top + bottom - height) / 2)
    return left, top, left + max(1, round(width)), top + max(1, round(height))


def cut(image: Image.Image, frame: Frame) -> Image.Image:
    """What of a photo is in a frame; beyond the photo, its border goes on."""
    if frame == whole(image):
        return image
    left, top, right, bottom = frame
    rows, columns = np.arange(top, bottom).clip(0, image.height - 1), np.arange(left, right).clip(0, image.width - 1)
    return Image.fromarray(np.asarray(image)[rows[:, None], columns])


def put_back(image: Image.Image, photo: Image.Image, frame: Frame) -> Image.Image:
    """A photo with `image` in the place of what its frame has of it."""
    if frame == whole(photo):
        return image
    result = photo.copy()
    result.paste(image, frame[:2])
    return result


def _alike(image: Image.Image, size: Size) -> bool:
    return abs(image.width * size[0] / (image.height * size[1]) - 1) <= SAME_PROPORTIONS
