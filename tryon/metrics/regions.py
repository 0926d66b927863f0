"""Where a pair's garment is, and where a try-on may change the photo at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tryon.data.condition import far_background
from tryon.data.folder import TryOnFolder, sample_id
from tryon.data.images import SUFFIXES, Size, open_mask
from tryon.data.sample import stack
from tryon.data.synthetic import Label
from tryon.errors import InputError
from tryon.metrics.evaluation import true_labels

MASK_TAIL = "_mask"  # of VITON-HD's agnostic masks
BLUR_OF_HEIGHT = 50


class RegionFiles:
    """Masks of people by id, bright where a try-on may change the photo, such as VITON-HD's ``agnostic-mask``.

    Raises:
        InputError: the folder is missing, or has no mask of one of these people.
    """

    def __init__(self, folder: Path, people: list[str]) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, wanted a mask of each person")
        paths = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)
        self._files = {sample_id(path.stem.removesuffix(MASK_TAIL) + path.suffix): path for path in paths}
        for person in people:
            if person not in self._files:
                raise InputError(f"{folder}: found no mask of {person}, wanted one of each person of the pairs")

    def __getitem__(self, person: str) -> Image.Image:
        """A person's mask, mode L."""
        return open_mask(self._files[person])


def garment_region(folder: TryOnFolder, person: str, garment: str) -> Image.Image | None:
    """Where the true photo shows the garment, mode L; None where nothing says so.

    By the exact parsing of drawn folders, or for a person's own garment by the parsing of the photo.
    """
    labels = true_labels(folder, person, garment)
    if labels is not None:
        return _mask(labels == Label.GARMENT)
    regions = folder.read_person(person).regions if person == garment else None
    return None if regions is None else _mask(regions.garment[0].numpy() > 0)


def changing_region(folder: TryOnFolder, person: str) -> Image.Image:
    """What a try-on may change of a photo by its parsing, mode L: all but face, hair, other clothes and background.

    Background near the garment and the arms counts as changing (`far_background`).

    Raises:
        InputError: there is no parsing.
    """
    batch = stack([folder.read_person(person)])
    if batch.regions is None:
        raise InputError(f"{folder.root}: found no parsing of {person}, wanted it, or masks by --regions")
    kept = batch.regions.face + batch.regions.other_clothes + far_background(batch)
    return _mask(kept[0, 0].numpy() == 0)


def keep_outside(picture: Image.Image, photo: Image.Image, region: Image.Image) -> Image.Image:
    """The photo, and of the picture what is in the region: sizes are the picture's.

    As CatVTON's ``--repaint`` does it: the photo resized by Lanczos' filter, the region by nearest neighbours, and
    blurred by a Gaussian of 1/50 of the height, of odd radius in pixels; levels are rounded down.
    """
    radius = picture.height // BLUR_OF_HEIGHT
    radius += radius % 2 == 0
    grey = region.resize(picture.size, Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(radius))
    share = np.asarray(grey, dtype=np.float64)[..., None] / 255
    photo = photo.resize(picture.size, Image.Resampling.LANCZOS)
    return Image.fromarray((np.asarray(photo) * (1 - share) + np.asarray(picture) * share).astype(np.uint8))


def inside(region: Image.Image, size: Size) -> NDArray[np.bool_]:
    """A region as a mask H x W of another size, by nearest neighbours."""
    return np.asarray(region.resize(size[::-1], Image.Resampling.NEAREST)) > 127


def _mask(region: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(region, 255, 0).astype(np.uint8))
