"""The garment mask of a product photo: the one that is given, else its transparency, else from its plain background."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from tryon.data.images import as_mask, as_seen, format_size, on_white
from tryon.errors import InputError

PLAIN_BORDER = 0.6  # share of the border that must be background; the rest may be a garment that is cut off
LOOSEST_PLAIN = 12  # grey levels (of 255) by which that share may differ from the border's median in any channel
TIGHTEST_TOLERANCE = 4  # grey levels; looser, white garments on white leak into the background
RIM = 2  # pixels around a garment in which its edge's blur and JPEG's ringing are neither it nor the background
RIM_TOLERANCE = 32  # grey levels
SMALLEST_GARMENT = 0.03  # share of the photo
LARGEST_GARMENT = 0.98
_BORDER_SHARE = 1 / 64  # thickness of the border, as a share of the photo's shorter side
_HALF = 128


def cut_out(
    garment: Image.Image, mask: Image.Image | None = None, name: str = "garment", mask_name: str = "mask"
) -> tuple[Image.Image, Image.Image]:
    """A product photo on white and its garment mask.

    Args:
        garment: product photo, any size and mode.
        mask: garment mask of that size, any mode. By default the photo's transparency where it has some, else
            `garment_mask`.
        name: what to call the photo in an error: a file name, say.
        mask_name: what to call the mask.

    Returns:
        Photo (RGB) and mask (L, bright on the garment), both upright and of one size.

    Raises:
        InputError: the mask's size is wrong, it cannot be a garment's (`check_mask`), or no mask can be made.
    """
    seen = as_seen(garment, name)
    photo = on_white(seen)
    if mask is not None:
        given = as_mask(mask, mask_name)
        if given.size != photo.size:
            found, wanted = (format_size((image.height, image.width)) for image in (given, photo))
            raise InputError(f"{mask_name}: found {found}, wanted {wanted} as the garment has")
        check_mask(given, mask_name)
    elif seen.mode == "RGBA" and np.asarray(seen.getchannel("A")).min() < _HALF:
        given = seen.getchannel("A")
        check_mask(given, f"{name}: its transparency")
    else:
        given = garment_mask(photo, name)
    return photo, given


def check_mask(mask: Image.Image, name: str) -> None:
    """Raise InputError for a mask (L) of nothing, of the whole photo, or of what is around the garment."""
    inside = np.asarray(mask) >= _HALF
    covered, border = float(inside.mean()), float(_border(inside).mean())
    if covered < SMALLEST_GARMENT:
        found = f"no garment ({covered:.1%} of the photo is bright)"
    elif covered > LARGEST_GARMENT:
        found = f"the whole photo ({covered:.1%} of it is bright)"
    elif border > max(PLAIN_BORDER, covered):
        found = f"a mask that is inverted ({border:.0%} of the border is bright, {covered:.0%} of the photo)"
    else:
        return
    raise InputError(f"{name}: found {found}, wanted it bright on the garment and dark around it")


def garment_mask(photo: Image.Image, name: str = "garment") -> Image.Image:
    """Separate a garment from a plain background.

    The background is what has the border's median colour and is connected to the border; so a white button or a
    white print inside the garment stays garment. Up to `RIM` pixels further, what is nearly of that colour is
    background too.

    Args:
        photo: product photo, any size.
        name: what to call the photo in an error: a file name, say.

    Returns:
        Mode "L" image of the photo's size, 255 on the garment and 0 elsewhere.

    Raises:
        InputError: the background is not plain, or there is no garment on it.
    """
    colours = np.asarray(photo.convert("RGB"))
    border = _border(colours).reshape(-1, 3).astype(np.float32)
    background = np.median(border, axis=0)
    deviation = float(np.quantile(np.abs(border - background).max(axis=1), PLAIN_BORDER))
    if deviation > LOOSEST_PLAIN:
        raise InputError(
            f"{name}: found no plain background (the border's colours differ by {deviation:.0f} grey levels,"
            f" wanted at most {LOOSEST_PLAIN}); give a garment mask"
        )
    tolerance = max(TIGHTEST_TOLERANCE, 2 * deviation)
    outside = connected_to_border(_near(colours, background, tolerance))
    # The median removes single stray pixels.
    mask = Image.fromarray(np.where(outside, np.uint8(0), np.uint8(255))).filter(ImageFilter.MedianFilter(3))
    rim = Image.fromarray(_near(colours, background, max(tolerance, RIM_TOLERANCE)))
    for _ in range(RIM):
        mask.paste(mask.filter(ImageFilter.MinFilter(3)), mask=rim)
    covered = np.asarray(mask).mean() / 255
    if covered < SMALLEST_GARMENT:
        raise InputError(
            f"{name}: found no garment on the background ({covered:.1%} of the photo differs from it,"
            f" wanted {SMALLEST_GARMENT:.0%}); give a garment mask"
        )
    return mask


def _border(pixels: np.ndarray) -> np.ndarray:
    """All pixels of an H x W x ... array that are near its edge, in one line."""
    thickness = max(1, round(min(pixels.shape[:2]) * _BORDER_SHARE))
    sides = (pixels[:thickness], pixels[-thickness:], pixels[:, :thickness], pixels[:, -thickness:])
    return np.concatenate([side.reshape(-1, *pixels.shape[2:]) for side in sides])


def _near(colours: np.ndarray, background: np.ndarray, tolerance: float) -> np.ndarray:
    """Where each channel of H x W x 3 levels is within a tolerance of the background's, H x W."""
    levels = np.arange(256)
    near = np.abs(levels[:, None] - background) <= tolerance  # by level and channel
    red, green, blue = (near[:, channel][colours[:, :, channel]] for channel in range(3))
    return red & green & blue


def connected_to_border(area: np.ndarray) -> np.ndarray:
    """The part of an area (H x W bool) from which a path through it leads to the border, by pixels' four neighbours.

    Rows are cut into runs of the area, and runs that touch in neighbouring rows are joined, all at a time, until each
    has the root of all that it is connected to: the first run, if that is the frame around the area.
    """
    framed = np.pad(area, ((1, 1), (1, 2)), constant_values=True)
    framed[:, -1] = False  # so that no run goes over the end of its row
    width = framed.shape[1]
    inside = framed.ravel()
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = np.append(0, changes[1::2]), changes[::2]
    first = np.searchsorted(ends, starts + width, side="right")  # of the runs below that touch
    touching = np.searchsorted(starts, ends + width, side="left") - first
    above = np.repeat(np.arange(len(starts)), touching)
    below = np.arange(len(above)) + np.repeat(first - np.cumsum(touching) + touching, touching)
    root = np.arange(len(starts))
    while len(above):
        roots = np.stack((root[above], root[below]))
        root[roots.max(axis=0)] = roots.min(axis=0)  # of several, one is enough: the others come in the next round
        while (root[root] != root).any():
            root = root[root]
        apart = root[above] != root[below]
        above, below = above[apart], below[apart]
    steps = np.zeros(inside.size, np.int8)
    steps[starts[root == 0]], steps[ends[root == 0]] = 1, -1
    return np.cumsum(steps, dtype=np.int8).reshape(framed.shape)[1:-1, 1:-2] > 0
