"""The browser's garment masks beside the package's: the same pixels, or the same refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from tests.tryon.page.calling import NEEDS_NODE, Call, called
from tests.tryon.product_photos import HARD, REFUSED
from tryon.data.folder import TryOnFolder
from tryon.data.images import Size, open_image
from tryon.data.synthetic import draw_sample, photograph
from tryon.errors import InputError
from tryon.plain_background import garment_mask

pytestmark = NEEDS_NODE


def masked(photo: np.ndarray, name: str) -> np.ndarray | str:
    try:
        return np.asarray(garment_mask(Image.fromarray(photo), name))[..., None]
    except InputError as error:
        return str(error)


def assert_masks_are_the_packages(photos: dict[str, np.ndarray], folder: Path) -> list[np.ndarray | str]:
    calls = [Call("plain_background", "garmentMask", photo, (f"{name}.jpg",)) for name, photo in photos.items()]
    made = called(calls, folder)
    for found, (name, photo) in zip(made, photos.items(), strict=True):
        wanted = masked(photo, f"{name}.jpg")
        if isinstance(wanted, str) or isinstance(found, str):
            assert found == wanted, name
        else:
            np.testing.assert_array_equal(found, wanted, name)
    return made


def test_hard_photos_give_the_packages_masks(tmp_path: Path) -> None:
    made = assert_masks_are_the_packages({name: draw()[0] for name, (draw, _) in HARD.items()}, tmp_path)
    assert all(isinstance(one, np.ndarray) for one in made)


def test_what_cannot_be_one_garment_is_refused_in_the_packages_words(tmp_path: Path) -> None:
    photos = {name: draw() for name, (draw, _) in REFUSED.items()}
    photos["nothing"] = np.full((64, 48, 3), 255, np.uint8)
    photos["a line"] = photos["nothing"][:1]
    photos["no background"] = np.full((64, 48, 3), 255, np.uint8)
    photos["no background"][1:-1, 1:] = 0
    made = assert_masks_are_the_packages(photos, tmp_path)
    assert all(isinstance(one, str) for one in made)


def drawn_garment(seed: int, size: Size | None = None) -> np.ndarray:
    """A garment drawn at a size or some size, with a photo's noise, blur and light: some cannot be told from these."""
    generator = np.random.default_rng(seed)
    height, width = size or (int(side) for side in generator.integers(20, 250, 2))
    product = Image.fromarray(photograph(draw_sample(seed, 1, seed).garment, height, width).photo)
    blurred = np.asarray(product.filter(ImageFilter.GaussianBlur(generator.uniform(0, 1.5))), np.float64)
    light = generator.uniform(-12, 12, 2) @ np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    noise = generator.normal(0, generator.choice([0, 1.5, 4]), blurred.shape)
    return (blurred + light.reshape(height, width, 1) + noise).round().clip(0, 255).astype(np.uint8)


def test_drawn_garments_of_any_size_light_and_noise_give_the_packages_masks(tmp_path: Path) -> None:
    photos = {str(seed): drawn_garment(seed) for seed in range(12)}
    photos["large, of sides that no number divides"] = drawn_garment(0, (1031, 773))
    made = assert_masks_are_the_packages(photos, tmp_path)
    assert sum(isinstance(one, np.ndarray) for one in made) > 6


def test_real_product_photos_give_the_packages_masks(real_photos: Path, tmp_path: Path) -> None:
    folder = TryOnFolder(real_photos, "test")
    photos = {one: np.asarray(open_image(folder.garment_path(one)).convert("RGB")) for one in folder.garments}
    assert_masks_are_the_packages(photos, tmp_path)
