from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.tryon.product_photos import HARD, REFUSED
from tryon.data.folder import TryOnFolder
from tryon.data.images import open_image, open_mask
from tryon.errors import InputError
from tryon.garment_mask import check_mask, cut_out
from tryon.plain_background import connected_to_border, garment_mask


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


def test_the_blurred_rim_of_a_garment_is_background_and_a_white_garment_loses_no_more_than_that() -> None:
    dark, white = drawn(), drawn()
    dark[18:20, 15:45] = 225  # neither the garment nor, by more than its noise, the background
    white[20:60, 15:45] = 240
    masks = [np.asarray(garment_mask(Image.fromarray(image))) > 0 for image in (dark, white)]
    assert not masks[0][:20].any()
    assert masks[0][20:60, 16:44].all()
    assert masks[1][22:58, 20:40].all()  # corners are rounded
    assert masks[1][25:55, 17:43].all()


def test_a_background_that_is_not_plain_is_refused_with_the_reason() -> None:
    image = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=r"shirt\.jpg: found no plain background .* give a garment mask"):
        garment_mask(Image.fromarray(image), "shirt.jpg")


def test_an_empty_photo_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"found no garment on the background \(0\.0% of the photo"):
        garment_mask(Image.new("RGB", (60, 80), (255, 255, 255)))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_a_line_of_pixels_is_refused_like_any_other_photo_without_a_garment(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="found no garment on the background"):
        garment_mask(Image.new("RGB", size, "white"))


@pytest.mark.parametrize("case", HARD)
def test_a_hard_photo_gives_the_drawn_mask_to_a_pixel_or_so_at_its_outline(case: str) -> None:
    draw, distance = HARD[case]
    photo, wanted = draw()
    found = np.asarray(garment_mask(Image.fromarray(photo))) > 0
    wrong = (found & ~_widened(wanted, distance)) | (~found & ~_widened(~wanted, distance))
    assert wrong.sum() <= 0.002 * wanted.sum()  # a hook, what JPEG does to corners


def _widened(area: np.ndarray, distance: int) -> np.ndarray:
    sums = np.pad(np.cumsum(np.cumsum(np.pad(area, distance).astype(np.int64), 0), 1), ((1, 0), (1, 0)))
    side = 2 * distance + 1
    return sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side] > 0


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_one_garment_on_a_plain_background_is_refused_with_what_was_found(case: str) -> None:
    draw, found = REFUSED[case]
    with pytest.raises(InputError, match=rf"shirt\.jpg: found {found}.*give a garment mask$"):
        garment_mask(Image.fromarray(draw()), "shirt.jpg")


@pytest.mark.parametrize("share", [0.3, 0.59, 0.7, 0.95])
def test_what_is_connected_to_the_border_is_what_a_flood_from_it_reaches(share: float) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        area = generator.random(generator.integers(1, 40, 2)) < share
        flooded = Image.fromarray(np.pad(area, 1, constant_values=True).astype(np.uint8)).copy()
        ImageDraw.floodfill(flooded, (0, 0), 2)
        np.testing.assert_array_equal(connected_to_border(area), np.asarray(flooded)[1:-1, 1:-1] == 2)


def test_a_mask_that_is_given_wins_over_transparency_and_transparency_over_the_background() -> None:
    given = Image.new("L", (60, 80))
    given.paste(255, (20, 20, 40, 70))
    alpha = Image.new("L", (60, 80))
    alpha.paste(255, (10, 30, 50, 50))
    garment = Image.fromarray(drawn())
    background = cut_out(garment)[1]
    garment.putalpha(alpha)
    photo, mask = cut_out(garment)
    assert mask.tobytes() == alpha.tobytes() != background.tobytes()
    assert photo.getpixel((20, 40)) == (30, 60, 200)
    assert photo.getpixel((20, 22)) == (255, 255, 255)  # a garment's colour in the file, but not to be seen
    assert cut_out(garment, given)[1].tobytes() == given.tobytes()
    garment.putalpha(200)  # a veil over everything tells nothing of the garment
    assert cut_out(garment)[1].tobytes() == background.tobytes()


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        (np.zeros((80, 60)), r"no garment \(0\.0% of the photo is bright\)"),
        (np.full((80, 60), 255), r"the whole photo \(100\.0% of it is bright\)"),
        (255 - np.pad(np.full((40, 30), 255), ((20, 20), (15, 15))), "a mask that is inverted .100% of the border"),
    ],
    ids=["nothing", "all", "inverted"],
)
def test_a_mask_that_cannot_be_a_garments_is_refused(levels: np.ndarray, found: str) -> None:
    mask = Image.fromarray(levels.astype(np.uint8))
    with pytest.raises(InputError, match=rf"edge\.png: found {found}.*wanted it bright on the garment"):
        check_mask(mask, "edge.png")
    garment = Image.fromarray(drawn())
    with pytest.raises(InputError, match=rf"mask: found {found}"):
        cut_out(garment, mask)
    if levels.any() and not levels.all():  # alpha that is transparent somewhere, but in the wrong places
        garment.putalpha(mask)
        with pytest.raises(InputError, match=rf"shirt\.png: its transparency: found {found}"):
            cut_out(garment, name="shirt.png")


def test_a_garment_that_is_cut_off_at_all_sides_is_no_inverted_mask() -> None:
    mask = np.full((80, 60), 255, np.uint8)
    for corner in (mask[:10, :10], mask[-10:, :10], mask[:10, -10:], mask[-10:, -10:]):
        corner[:] = 0  # 0.71 of the border is bright, 0.92 of all
    check_mask(Image.fromarray(mask), "edge.png")


def test_the_published_masks_are_garments(real_photos: Path) -> None:
    for path in sorted((real_photos / "test_edge").iterdir()):
        check_mask(open_mask(path), path.name)


def test_real_product_photos_give_nearly_the_published_masks(real_photos: Path) -> None:
    folder = TryOnFolder(real_photos, "test")
    for garment in folder.garments:
        found = np.asarray(garment_mask(open_image(folder.garment_path(garment)))) > 127
        wanted = np.asarray(open_mask(folder.mask_path(garment))) > 127
        overlap = (found & wanted).sum() / (found | wanted).sum()
        # The published outlines lie half a pixel to the right and below: 2 to 4 % of these garments' area.
        assert overlap > 0.95, f"{garment}: {overlap:.3f}"
