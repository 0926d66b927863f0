from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tryon.data.synthetic import Label, Product, Rendering, corrupt_parsing, draw_sample, photograph, render
from tryon.data.synthetic.garments import FITS, NECKLINES, PATTERNS
from tryon.data.synthetic.noise import _with_lost_regions
from tryon.data.synthetic.person import ARM_POSES, BOTTOM_KINDS, HAIR_STYLES, ArmPose
from tryon.data.synthetic.scene import SUPERSAMPLE
from tryon.data.synthetic.shading import GARMENT_SHADE
from tryon.data.synthetic.writer import Sample

HEIGHT, WIDTH = 128, 96
DRAWN = 12
SOFT_SHADOW = 24  # grey levels by which a garment's shadow may change what it falls on


@dataclass(frozen=True)
class Scene:
    sample: Sample
    product: Product
    rendering: Rendering


def draw(index: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 5) -> Scene:
    sample = draw_sample(seed, 0, index)
    product = photograph(sample.garment, height, width)
    return Scene(sample, product, render(sample.person, sample.garment, product))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw(index) for index in range(DRAWN)]


def widened(mask: np.ndarray, pixels: int) -> np.ndarray:
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0


def bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    left, top = (np.clip(np.floor(p).astype(int), 0, n - 2) for p, n in ((x, image.shape[1]), (y, image.shape[0])))
    right, low = (x - left)[:, None], (y - top)[:, None]
    above = image[top, left] * (1 - right) + image[top, left + 1] * right
    below = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return above * (1 - low) + below * low


def test_pictures_have_the_asked_size_and_types(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.product.photo.shape == scene.rendering.photo.shape == (HEIGHT, WIDTH, 3)
        for plane in (scene.product.mask, scene.rendering.parsing, scene.rendering.densepose):
            assert plane.shape == (HEIGHT, WIDTH)
            assert plane.dtype == np.uint8
        assert scene.rendering.source.shape == (2, HEIGHT, WIDTH)
        assert scene.rendering.source.dtype == np.float32


def test_every_label_is_one_of_vitons(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert set(np.unique(scene.rendering.parsing)) <= set(Label) - {Label.NOISE}
        assert scene.rendering.densepose.max() <= 24
        assert {Label.FACE, Label.HAIR, Label.GARMENT} <= set(np.unique(scene.rendering.parsing))


def test_the_source_is_known_exactly_where_the_garment_is_seen(scenes: list[Scene]) -> None:
    for scene in scenes:
        known = np.isfinite(scene.rendering.source).all(axis=0)
        np.testing.assert_array_equal(known, scene.rendering.parsing == Label.GARMENT)
        np.testing.assert_array_equal(known, np.isfinite(scene.rendering.source).any(axis=0))


def test_sources_lie_in_the_product_mask_to_one_pixel(scenes: list[Scene]) -> None:
    for scene in scenes:
        x, y = np.rint(scene.rendering.source[:, scene.rendering.parsing == Label.GARMENT]).astype(int)
        assert widened(scene.product.mask, 1)[y, x].all()


def test_the_photo_shows_the_products_colour_at_the_source_times_one_factor(scenes: list[Scene]) -> None:
    checked = 0
    for scene in scenes:
        source, photo = scene.rendering.source, scene.rendering.photo.astype(float)
        # Pixels whose eight neighbours come from less than 3 product pixels away, so they themselves from half of that,
        # and around which the cloth has one colour: 1.5 + 1 (bilinear) + 0.5 (a pixel's own samples) = 3 pixels.
        low = high = Image.fromarray(scene.product.cloth)
        for _ in range(5):  # 5 times 2 samples
            low, high = low.filter(ImageFilter.MinFilter(5)), high.filter(ImageFilter.MaxFilter(5))
        middle = SUPERSAMPLE // 2
        plain = (np.asarray(low) == np.asarray(high)).all(axis=2)[middle::SUPERSAMPLE, middle::SUPERSAMPLE]
        plain &= ~widened(scene.product.mask == 0, 2)
        shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        neighbours = np.stack([np.roll(source, shift, axis=(1, 2)) for shift in shifts])
        near = np.nan_to_num(np.abs(neighbours - source), nan=np.inf).max(axis=(0, 1)) < 3
        y, x = np.nonzero(near)
        inside = plain[tuple(np.rint(source[::-1, y, x]).astype(int))]
        y, x = y[inside], x[inside]
        shown = photo[y, x]
        product = bilinear(scene.product.photo.astype(float), *source[:, y, x])
        # Samples are clipped at 255; a pixel this dark has none, as shade hardly varies inside it.
        unclipped = (shown.max(axis=1) < 245) & (product.max(axis=1) < 245)
        shown, product = shown[unclipped], product[unclipped]
        factor = shown.sum(axis=1) / product.sum(axis=1)
        assert (factor > GARMENT_SHADE[0] / GARMENT_SHADE[1]).all()
        assert (factor < GARMENT_SHADE[1] / GARMENT_SHADE[0]).all()
        # Rounding moves each value by up to half a level, so the sums of three channels by up to one and a half.
        share = product / product.sum(axis=1, keepdims=True)
        bound = (1 + factor[:, None]) * (0.5 + 1.5 * share)
        assert (np.abs(shown - factor[:, None] * product) <= bound).all()
        checked += len(shown)
    assert checked > 2000


def test_a_source_a_few_pixels_off_would_be_noticed(scenes: list[Scene]) -> None:
    scene = next(s for s in scenes if s.sample.garment.pattern in ("horizontal", "checks", "dots"))
    y, x = np.nonzero(scene.rendering.parsing == Label.GARMENT)
    shown = scene.rendering.photo[y, x].astype(float)

    def error(shift: float) -> float:
        source = scene.rendering.source[:, y, x] + shift
        return float(np.abs(bilinear(scene.product.photo.astype(float), *source) - shown).mean())

    assert error(0) < 0.6 * min(error(-4), error(4))


def test_the_flow_is_smooth_inside_the_garment(scenes: list[Scene]) -> None:
    for scene in scenes:
        steps = [np.abs(np.diff(scene.rendering.source, axis=axis)).max(axis=0) for axis in (1, 2)]
        flat = np.concatenate([step[np.isfinite(step)] for step in steps])
        # Only where one piece of cloth passes in front of another, a small part of the garment, may it jump.
        assert (flat > 4 * np.median(flat)).mean() < 0.04


def test_keypoints_in_the_frame_lie_on_the_body(scenes: list[Scene]) -> None:
    for scene in scenes:
        x, y, confidence = scene.rendering.keypoints.T
        present = confidence > 0
        assert present.sum() >= 12
        assert (scene.rendering.keypoints[~present] == 0).all()
        pixels = np.rint(y[present]).astype(int), np.rint(x[present]).astype(int)
        assert (scene.rendering.densepose[pixels] > 0).all()


def test_left_and_right_are_the_persons_own() -> None:
    scene = draw(0)
    person = replace(scene.sample.person, arms=(ArmPose(45, 128, 1.0, False),) * 2, scale=0.9, shift=0, sway=0)
    garment = replace(scene.sample.garment, sleeve=0.0)
    shown = render(person, garment, photograph(garment, HEIGHT, WIDTH))
    middle = {label: np.nonzero(shown.parsing == label)[1].mean() for label in (Label.RIGHT_ARM, Label.LEFT_ARM)}
    hands = [np.nonzero(shown.densepose == part)[1].mean() for part in (3, 4)]
    assert middle[Label.RIGHT_ARM] < WIDTH / 2 < middle[Label.LEFT_ARM]
    assert hands[0] < WIDTH / 2 < hands[1]
    assert shown.keypoints[2, 0] < shown.keypoints[5, 0]
    right_arm = np.isin(shown.densepose, (16, 18, 20, 22))
    assert np.nonzero(right_arm)[1].mean() < WIDTH / 2


def pixels_of_garment_arms_and_neck(scene: Scene, other: Scene) -> np.ndarray:
    """Pixels of which any part shows them: a label is decided at the centre, which a sliver of cloth may miss."""
    height, width = HEIGHT * SUPERSAMPLE, WIDTH * SUPERSAMPLE
    garment = other.sample.garment
    shown = render(scene.sample.person, garment, photograph(garment, height, width))
    parts = np.isin(shown.parsing, (Label.GARMENT, Label.LEFT_ARM, Label.RIGHT_ARM)) | shown.neck
    return parts.reshape(HEIGHT, SUPERSAMPLE, WIDTH, SUPERSAMPLE).any(axis=(1, 3))


def test_another_garment_changes_only_garment_arms_and_neck(scenes: list[Scene]) -> None:
    for scene, other in zip(scenes[::2], scenes[1::2], strict=True):
        changed = render(scene.sample.person, other.sample.garment, other.product)
        np.testing.assert_array_equal(changed.densepose, scene.rendering.densepose)
        np.testing.assert_array_equal(changed.keypoints, scene.rendering.keypoints)
        touched = pixels_of_garment_arms_and_neck(scene, scene) | pixels_of_garment_arms_and_neck(scene, other)
        difference = np.abs(changed.photo.astype(int) - scene.rendering.photo).max(axis=2)
        assert difference[~widened(touched, 1)].max() <= SOFT_SHADOW
        assert difference[touched].max() > SOFT_SHADOW


def test_the_same_person_and_garment_give_the_same_picture(scenes: list[Scene]) -> None:
    again = draw(3)
    np.testing.assert_array_equal(again.rendering.photo, scenes[3].rendering.photo)
    np.testing.assert_array_equal(again.rendering.source, scenes[3].rendering.source)
    assert (draw(3, seed=6).rendering.photo != again.rendering.photo).any()


KINDS = {
    "hair_style": HAIR_STYLES,
    "bottom": BOTTOM_KINDS,
    "backdrop": ("plain", "gradient", "room"),
    "neckline": tuple(NECKLINES),
    "pattern": PATTERNS,
    "shape": ("disc", "star", "diamond", "heart", "rings", "stripe"),
}


@pytest.mark.parametrize(("field", "kind"), [(field, kind) for field, kinds in KINDS.items() for kind in kinds])
def test_every_kind_of_person_and_garment_can_be_drawn(field: str, kind: str) -> None:
    sample = draw_sample(0, 0, 1)
    person, garment = sample.person, replace(sample.garment, pattern="print", second=(250, 20, 30))
    if hasattr(person, field):
        person = replace(person, **{field: kind})
    else:
        garment = replace(garment, **{field: kind})
    shown = render(person, garment, photograph(garment, 64, 48))
    assert (shown.parsing == Label.GARMENT).mean() > 0.03


@pytest.mark.parametrize("pose", ARM_POSES)
def test_hands_reach_their_place_in_every_pose(pose: str) -> None:
    sample = draw_sample(0, 0, 1)
    out, down, behind = ARM_POSES[pose]
    arm = ArmPose(float(np.mean(out)), float(np.mean(down)), 1.0, behind)
    person = replace(sample.person, arms=(arm, arm), scale=0.9, shift=0.0, sway=0.0, bend=0.0)
    shown = render(person, sample.garment, photograph(sample.garment, HEIGHT, WIDTH))
    unit = 0.9 * HEIGHT / 256
    from_middle = np.abs(shown.keypoints[[4, 7], 0] - (WIDTH - 1) / 2) / unit
    np.testing.assert_allclose(from_middle, abs(arm.out), atol=8)  # tilt, and reach where an arm is too short
    assert (np.isin(shown.densepose, (3, 4)).any()) != behind


def test_fits_differ_in_width() -> None:
    sample = draw_sample(0, 0, 1)
    area = {}
    for fit, (chest, waist, hem) in FITS.items():
        garment = replace(sample.garment, chest=chest, waist=waist, hem=hem, sleeve=0.0, length=125.0, pattern="plain")
        person = replace(sample.person, tucked=False)
        shown = render(person, garment, photograph(garment, HEIGHT, WIDTH))
        area[fit] = (shown.parsing == Label.GARMENT).sum()
    assert area["fitted"] < area["straight"] < area["boxy"]


def test_no_noise_leaves_the_parsing_exact(scenes: list[Scene]) -> None:
    rendering = scenes[0].rendering
    np.testing.assert_array_equal(corrupt_parsing(rendering, 0, np.random.default_rng(0)), rendering.parsing)


def test_more_noise_makes_more_pixels_wrong_and_leaves_the_truth_alone(scenes: list[Scene]) -> None:
    wrong = []
    for noise in (0.1, 0.4, 1.0):
        share = 0.0
        for index, scene in enumerate(scenes):
            exact = scene.rendering.parsing.copy()
            noisy = corrupt_parsing(scene.rendering, noise, np.random.default_rng(index))
            np.testing.assert_array_equal(scene.rendering.parsing, exact)
            assert set(np.unique(noisy)) <= set(Label)
            share += (noisy != exact).mean() / len(scenes)
        wrong.append(share)
    assert 0 < wrong[0] < wrong[1] < wrong[2] < 0.2


def test_noise_loses_an_arm_or_takes_the_neck_for_garment_in_about_half_of_the_worst_parsings() -> None:
    scene = next(s for s in map(draw, range(30)) if s.sample.garment.sleeve == 0 and s.rendering.neck.sum() > 40)
    arms = [scene.rendering.parsing == label for label in (Label.LEFT_ARM, Label.RIGHT_ARM)]
    lost = neck = 0
    tries = 40
    for seed in range(tries):
        noisy = corrupt_parsing(scene.rendering, 1.0, np.random.default_rng(seed))
        lost += any(np.isin(noisy[arm], (Label.LEFT_ARM, Label.RIGHT_ARM)).mean() < 0.1 for arm in arms)
        neck += (noisy[scene.rendering.neck] == Label.GARMENT).mean() > 0.5
    # Four standard deviations of 40 fair coins.
    deviation = 4 * np.sqrt(tries / 4)
    assert abs(lost - tries / 2) < deviation
    assert abs(neck - tries / 2) < deviation


REGIONS = 5
"""An arm, the neck, hair on the shoulders, the collar and the hem, each of which may be mistaken as a whole."""


def mistaken_regions(scene: Scene, noise: float, seed: int) -> set[str]:
    """Which regions are mistaken, borders and holes aside."""
    rendering = scene.rendering
    exact, noisy = rendering.parsing, _with_lost_regions(rendering, noise, np.random.default_rng(seed))
    changed = noisy != exact
    kinds = {
        "arm": np.isin(exact, (Label.LEFT_ARM, Label.RIGHT_ARM)),
        "neck": rendering.neck,
        "hair": exact == Label.HAIR,
        "collar": (exact == Label.GARMENT) & (noisy == Label.FACE),
        "hem": (exact == Label.GARMENT) & (noisy == Label.BOTTOMS),
    }
    assert not (changed & ~np.logical_or.reduce(list(kinds.values()))).any()
    return {name for name, kind in kinds.items() if (changed & kind).any()}


@pytest.fixture(scope="module")
def long_haired() -> Scene:
    """Somebody of whom every region can be mistaken."""
    scenes = map(draw, range(60))
    return next(
        s
        for s in scenes
        if s.sample.person.hair_style == "long" and s.sample.garment.sleeve == 0 and s.rendering.neck.sum() > 40
    )


def test_whole_regions_are_mistaken_together_in_a_share_of_people(long_haired: Scene) -> None:
    tries, noise = 200, 0.4
    found = [mistaken_regions(long_haired, noise, seed) for seed in range(tries)]
    share = noise * (1 - 1 / 2**REGIONS)  # somebody whose parsing fails is spared all five with 1 of 32 coins
    deviation = np.sqrt(share * (1 - share) / tries)
    assert abs(np.mean([bool(regions) for regions in found]) - share) < 4 * deviation
    failing = [regions for regions in found if regions]
    for name in ("arm", "neck", "hair", "collar", "hem"):
        rate = np.mean([name in regions for regions in failing])
        expected = 1 / 2 / (1 - 1 / 2**REGIONS)
        assert abs(rate - expected) < 4 * np.sqrt(expected * (1 - expected) / len(failing)), name


def test_who_fails_at_some_noise_fails_in_the_same_regions_at_more(long_haired: Scene) -> None:
    for seed in range(40):
        some, more, most = (mistaken_regions(long_haired, noise, seed) for noise in (0.2, 0.5, 1.0))
        assert some in (set(), most)
        assert more in (set(), most)
        assert some <= more <= most


def test_a_collar_is_kept_near_the_neck_and_a_hem_at_the_bottom_of_the_garment(long_haired: Scene) -> None:
    exact = long_haired.rendering.parsing
    rows = np.flatnonzero((exact == Label.GARMENT).any(axis=1))
    for seed in range(20):
        noisy = _with_lost_regions(long_haired.rendering, 1.0, np.random.default_rng(seed))
        for label, lowest, highest in ((Label.FACE, 0, 0.3), (Label.BOTTOMS, 0.75, 1)):
            taken = np.flatnonzero(((exact == Label.GARMENT) & (noisy == label)).any(axis=1))
            share = (taken - rows[0]) / (rows[-1] - rows[0])
            assert ((share >= lowest) & (share <= highest)).all()


def test_noise_leaves_holes_in_the_garment_including_the_noise_label(scenes: list[Scene]) -> None:
    found = set()
    for seed, scene in enumerate(scenes * 2):
        inner = ~widened(scene.rendering.parsing != Label.GARMENT, 4)
        found |= set(corrupt_parsing(scene.rendering, 1.0, np.random.default_rng(seed))[inner])
    assert {Label.GARMENT, Label.NOISE, Label.BACKGROUND} <= found
