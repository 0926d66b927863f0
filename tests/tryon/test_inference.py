from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

import tryon_kernels as tk
from tryon import InputError, TryOn
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.images import open_image, open_mask
from tryon.data.sample import stack
from tryon.inference import resized_map
from tryon.precision import multiplies_bfloat16


@pytest.fixture(scope="module")
def student(tiny_run: Path) -> TryOn:
    return TryOn.load(tiny_run / "student", precision="fp32")


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Noise inside a white frame: a garment on a plain background, say."""
    image = np.full((height, width, 3), 255, np.uint8)
    inner = image[height // 8 : -(height // 8), width // 8 : -(width // 8)]
    inner[:] = np.random.default_rng(seed).integers(0, 200, inner.shape)
    return Image.fromarray(image)


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (256, 192), (333, 500)])
def test_the_result_has_the_persons_size(student: TryOn, size: tuple[int, int]) -> None:
    result = student.dress(picture(*size), picture(90, 70))
    assert result.mode == "RGB"
    assert (result.height, result.width) == size


def test_at_the_training_size_the_result_is_the_networks_image(student: TryOn, drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "test")
    person, garment = folder.people[0], folder.garments[1]
    with torch.inference_mode():
        wanted = student.model(stack([folder.read_person(person)]), stack([folder.read_garment(garment)])).image[0]
    photo, product = open_image(folder.photo_path(person)), open_image(folder.garment_path(garment))
    result = student.dress(photo, product, open_mask(folder.mask_path(garment)))
    levels = (wanted.permute(1, 2, 0).numpy() + 1) * 127.5
    # Both round one image to 8 bits: half a level.
    np.testing.assert_allclose(np.asarray(result, dtype=np.float32), levels, atol=0.51)


def test_any_image_mode_is_taken(student: TryOn) -> None:
    wanted = np.asarray(student.dress(picture(64, 64), picture(64, 48)))
    result = student.dress(picture(64, 64).convert("RGBA"), picture(64, 48).convert("RGBA"))
    np.testing.assert_array_equal(np.asarray(result), wanted)


def test_pictures_with_an_orientation_are_dressed_upright(student: TryOn, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    upright = picture(96, 64, seed=1), picture(64, 48)
    wanted = student.dress(*upright)
    stored = []
    for number, image in enumerate(upright):
        path = tmp_path / f"{number}.png"
        image.transpose(Image.Transpose.ROTATE_270).save(path, exif=exif)
        stored.append(Image.open(path))
    result = student.dress(*stored)
    assert result.size == (64, 96)
    assert result.tobytes() == wanted.tobytes()
    assert not result.getexif()


def test_a_garments_transparency_is_its_mask(student: TryOn) -> None:
    garment, mask = picture(64, 64), Image.new("L", (64, 64))
    mask.paste(255, (20, 10, 50, 40))
    clear = garment.copy()
    clear.putalpha(mask)
    assert student.dress(picture(64, 64), clear).tobytes() == student.dress(picture(64, 64), garment, mask).tobytes()


def test_a_wide_photo_is_dressed_in_its_middle_as_that_alone_would_be(student: TryOn) -> None:
    photo = picture(64, 160, seed=2)
    middle = (48, 0, 112, 64)
    result = student.dress(photo, picture(64, 64))
    assert result.crop(middle).tobytes() == student.dress(photo.crop(middle), picture(64, 64)).tobytes()
    for side in ((0, 0, 48, 64), (112, 0, 160, 64)):
        assert result.crop(side).tobytes() == photo.crop(side).tobytes()


def test_a_narrow_photo_is_dressed_as_if_its_sides_went_on(student: TryOn) -> None:
    photo = picture(64, 64, seed=2)
    narrow = photo.crop((12, 0, 52, 64))
    levels = np.asarray(narrow)
    continued = Image.fromarray(np.pad(levels, ((0, 0), (12, 12), (0, 0)), mode="edge"))
    wanted = student.dress(continued, picture(64, 64)).crop((12, 0, 52, 64))
    assert student.dress(narrow, picture(64, 64)).tobytes() == wanted.tobytes()


def test_room_around_a_garment_does_not_make_it_smaller(student: TryOn) -> None:
    results = []
    for size, place in (((96, 70), (10, 5)), ((300, 90), (150, 20)), ((70, 200), (5, 90))):
        garment, mask = Image.new("RGB", size, "white"), Image.new("L", size)
        garment.paste(picture(80, 70).crop((10, 10, 60, 60)), place)
        mask.paste(255, (*place, place[0] + 50, place[1] + 50))
        results.append(student.dress(picture(64, 64), garment, mask).tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (1, 1)])
def test_the_longest_photos_take_no_longer_than_others(student: TryOn, size: tuple[int, int]) -> None:
    seen = []
    forward = student.model.forward
    student.model.forward = lambda person, garment: (seen.append(person.photo.shape[-2:]), forward(person, garment))[1]
    try:
        result = student.dress(picture(64, 64).resize(size), picture(64, 64))
    finally:
        student.model.forward = forward
    assert result.size == size
    assert seen == [(64, 64)]


def test_the_mask_is_made_from_a_plain_background_when_none_is_given(student: TryOn) -> None:
    garment = picture(64, 48)
    mask = np.zeros((64, 48), np.uint8)
    mask[8:-8, 6:-6] = 255
    with_mask = student.dress(picture(64, 64), garment, Image.fromarray(mask))
    without = student.dress(picture(64, 64), garment)
    # The median filter against stray pixels rounds the mask's four corners.
    assert np.mean(np.asarray(with_mask) != np.asarray(without)) < 0.05


def test_a_mask_of_another_size_is_refused(student: TryOn) -> None:
    with pytest.raises(InputError, match="mask: found 64x64, wanted 64x48"):
        student.dress(picture(64, 64), picture(64, 48), Image.new("L", (64, 64)))


def test_bfloat16_changes_a_picture_by_less_than_a_grey_level_on_average(student: TryOn, tiny_run: Path) -> None:
    lowered = TryOn.load(tiny_run / "student", precision="bf16")
    pictures = [np.asarray(one.dress(picture(64, 64), picture(64, 48)), dtype=np.float32) for one in (student, lowered)]
    assert 0 < np.abs(pictures[0] - pictures[1]).mean() < 1


def test_it_is_taken_by_default_where_the_cpu_multiplies_it(tiny_run: Path) -> None:
    expected = "bf16" if multiplies_bfloat16() else "fp32"
    assert TryOn.load(tiny_run / "student").precision == expected


def test_float16_on_a_cpu_is_refused(tiny_run: Path) -> None:
    with pytest.raises(InputError, match="found fp16 on a CPU"):
        TryOn.load(tiny_run / "student", precision="fp16")


def test_a_student_that_cannot_render_is_refused(tiny_run: Path) -> None:
    with pytest.raises(InputError, match="found stage student-warp, which has no generator"):
        TryOn.load(tiny_run / "student-warp")


def test_a_map_resized_samples_what_the_small_map_samples() -> None:
    """Sampling a smooth image twice as large at the resized map gives the small result, enlarged."""
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 48, 32)
    ramp_large = torch.nn.functional.interpolate(ramp, scale_factor=2, mode="bilinear")
    rows, columns = torch.meshgrid(torch.linspace(-0.5, 0.5, 48), torch.linspace(-0.6, 0.4, 32), indexing="ij")
    small_map = torch.stack((columns, rows))[None]
    small = tk.grid_sample(ramp, small_map.permute(0, 2, 3, 1), padding_mode="border", align_corners=True)
    large_map = resized_map(small_map, (96, 64)).permute(0, 2, 3, 1)
    large = tk.grid_sample(ramp_large, large_map, padding_mode="border", align_corners=True)
    wanted = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
    # Linear in linear is exact; only float32 rounding of positions in 64 pixels remains.
    torch.testing.assert_close(large, wanted, atol=64 * 2**-23, rtol=0)


def test_real_people_are_dressed_at_their_own_size(student: TryOn, real_photos: Path) -> None:
    folder = TryOnFolder(real_photos, "test")
    pairs = read_pairs(real_photos / "test_pairs_unpaired.txt")
    assert len(pairs) == 10
    for person, garment in pairs:
        photo = open_image(folder.photo_path(person))
        mask = open_mask(folder.mask_path(garment))
        result = student.dress(photo, open_image(folder.garment_path(garment)), mask)
        assert result.size == photo.size == (192, 256)
        assert np.asarray(result).std() > 1  # a picture, not one colour
