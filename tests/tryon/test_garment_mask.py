from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tryon.data.folder import TryOnFolder
from tryon.data.images import open_image, open_mask
from tryon.errors import InputError
from tryon.garment_mask import garment_mask


def drawn(background: int = 250) -> np.ndarray:
    image = np.full((80, 60, 3), background, np.uint8)
    image[20:60, 15:45] = (30, 60, 200)
    return image


def test_the_mask_covers_the_garment_alone() -> None:
    mask = np.asarray(garment_mask(Image.fromarray(drawn()))) > 0
    wanted = np.zeros((80, 60), bool)
    wanted[20:60, 15:45] = True
    assert (mask != wanted).sum() <= 4  # the median filter rounds the corners


def test_background_colour_inside_the_garment_is_garment() -> None:
    image = drawn()
    image[30:40, 20:30] = 250
    assert np.asarray(garment_mask(Image.fromarray(image)))[35, 25] == 255


def test_a_garment_may_touch_the_border() -> None:
    image = drawn()
    image[40:80, 20:40] = (200, 30, 30)
    mask = np.asarray(garment_mask(Image.fromarray(image)))
    assert mask[78, 30] == 255
    assert mask[78, 5] == 0


def test_noise_in_the_background_is_background() -> None:
    noise = np.random.default_rng(0).integers(-5, 5, (80, 60, 3))
    image = (drawn(background=240) + noise).astype(np.uint8)
    mask = np.asarray(garment_mask(Image.fromarray(image))) > 0
    assert mask[:15].mean() < 0.01
    assert mask[25:55, 20:40].all()


def test_a_background_that_is_not_plain_is_refused_with_the_reason() -> None:
    image = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=r"shirt\.jpg: found no plain background .* give a garment mask"):
        garment_mask(Image.fromarray(image), "shirt.jpg")


def test_an_empty_photo_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"found no garment on the background \(0\.0% of the photo"):
        garment_mask(Image.new("RGB", (60, 80), (255, 255, 255)))


def test_real_product_photos_give_nearly_the_published_masks(real_photos: Path) -> None:
    folder = TryOnFolder(real_photos, "test")
    for garment in folder.garments:
        found = np.asarray(garment_mask(open_image(folder.garment_path(garment)))) > 127
        wanted = np.asarray(open_mask(folder.mask_path(garment))) > 127
        overlap = (found & wanted).sum() / (found | wanted).sum()
        # JPEG ringing around the garment is a rim of one to two pixels: 10 to 15 % of these garments' area.
        assert overlap > 0.85, f"{garment}: {overlap:.3f}"
