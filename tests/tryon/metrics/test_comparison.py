from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tryon.data.folder import TryOnFolder
from tryon.data.synthetic import Label
from tryon.errors import InputError
from tryon.metrics import (
    PROTOCOLS,
    Comparison,
    Distance,
    RegionFiles,
    changing_region,
    keep_outside,
    pairs_hash,
    peak_signal_to_noise_ratio,
    picture_paths,
    printed,
    report,
    structural_similarity,
    true_photo,
)
from tryon.metrics.evaluation import true_labels

Pictures = dict[tuple[str, str], Image.Image]


def compared(folder: TryOnFolder, made: Pictures, protocol: str = "own", **options: object) -> Comparison:
    comparison = Comparison(folder, PROTOCOLS[protocol], **options)
    for pair, picture in made.items():
        comparison.add(*pair, picture)
    return comparison


def wrong_where(folder: TryOnFolder, pair: tuple[str, str], garment: bool) -> Image.Image:
    """The truth, but for the garment or for all else."""
    levels = np.array(true_photo(folder, *pair))
    levels[(true_labels(folder, *pair) == Label.GARMENT) == garment] ^= 64
    return Image.fromarray(levels)


def test_figures_are_means_over_pairs(folder: TryOnFolder, made: Pictures) -> None:
    figures = compared(folder, made).figures()
    truths = [true_photo(folder, *pair) for pair in made]
    for name, measure in (("ssim", structural_similarity), ("psnr", peak_signal_to_noise_ratio)):
        wanted = np.mean([measure(*each) for each in zip(made.values(), truths, strict=True)])
        assert figures[name] == pytest.approx(wanted)


def test_a_wrong_garment_is_wrong_inside_and_all_else_outside(folder: TryOnFolder, made: Pictures) -> None:
    in_garment = compared(folder, {pair: wrong_where(folder, pair, garment=True) for pair in made}).figures()
    elsewhere = compared(folder, {pair: wrong_where(folder, pair, garment=False) for pair in made}).figures()
    wrong = 20 * math.log10(255 / 64)
    assert (in_garment["psnr_inside"], in_garment["psnr_outside"]) == (pytest.approx(wrong), math.inf)
    assert (elsewhere["psnr_inside"], elsewhere["psnr_outside"]) == (math.inf, pytest.approx(wrong))
    assert in_garment["ssim_inside"] < in_garment["ssim_outside"]
    assert elsewhere["ssim_outside"] < elsewhere["ssim_inside"]


def test_lpips_inside_is_that_of_a_picture_that_is_right_outside(folder: TryOnFolder, made: Pictures) -> None:
    error = Distance("lpips_alex", "", lambda image, truth: float(np.abs(np.subtract(image, truth, dtype=int)).sum()))
    pictures = {pair: wrong_where(folder, pair, garment=True) for pair in made}
    figures = compared(folder, pictures, distances=[error]).figures()
    assert figures["lpips_alex"] == figures["lpips_alex_inside"] > 0
    assert figures["lpips_alex_outside"] == 0
    texture = compared(folder, pictures, distances=[Distance("dists", "", error.of)]).figures()
    assert not {"dists_inside", "dists_outside"} & texture.keys()


def test_leffas_psnr_is_that_of_sixteen_pictures_mean_error(folder: TryOnFolder, made: Pictures) -> None:
    truths = {pair: np.asarray(true_photo(folder, *pair), dtype=float) for pair in made}
    errors = [np.square(np.asarray(picture) - truths[pair]).mean() for pair, picture in made.items()]
    leffa = compared(folder, made, "leffa").figures()["psnr"]
    assert leffa == pytest.approx(10 * math.log10(255**2 / np.mean(errors)))
    assert leffa < compared(folder, made).figures()["psnr"]


def test_the_order_of_pairs_changes_nothing_and_a_pixel_changes_the_hash(folder: TryOnFolder, made: Pictures) -> None:
    one, other = compared(folder, made), compared(folder, dict(reversed(made.items())))
    assert one.figures() == other.figures()
    assert one.conditions() == other.conditions()
    assert pairs_hash(made) == pairs_hash(reversed(made)) == one.conditions()["pairs"]["sha256"]
    assert pairs_hash(list(made)[:1]) != pairs_hash(made)
    first = next(iter(made))
    changed = made[first].copy()
    changed.putpixel((0, 0), (1, 2, 3))
    hashes = [each.conditions()["pictures"]["sha256"] for each in (one, compared(folder, made | {first: changed}))]
    assert hashes[0] != hashes[1]


def test_without_true_photos_there_are_no_figures_of_pairs(real_photos: Path) -> None:
    folder = TryOnFolder(real_photos, "test")
    comparison = compared(folder, {("000010", "000048"): Image.new("RGB", (192, 256))})
    assert comparison.figures() == {}
    assert comparison.conditions()["pairs"]["with_true_photo"] == 0


def test_outside_a_region_the_photo_is_kept_and_inside_the_picture() -> None:
    photo, picture = Image.new("RGB", (100, 100), (200, 0, 0)), Image.new("RGB", (100, 100), (0, 200, 0))
    region = Image.new("L", (50, 50))
    region.paste(255, (25, 0, 50, 50))
    kept = np.asarray(keep_outside(picture, photo, region), dtype=int)
    assert (kept[:, :35] == (200, 0, 0)).all()
    assert (kept[:, 65:] == (0, 200, 0)).all()
    border = kept[50, 35:65]
    assert (np.diff(border[:, 0]) <= 0).all()
    assert (np.abs(border.sum(axis=1) - 200) <= 2).all()  # two levels are rounded down


def test_what_may_change_is_the_garment_and_what_is_near_it(folder: TryOnFolder) -> None:
    regions = folder.read_person(folder.people[0]).regions
    changing = np.asarray(changing_region(folder, folder.people[0])) > 0
    assert changing[regions.garment[0].bool().numpy()].all()
    assert not changing[regions.face[0].bool().numpy()].any()
    assert not changing[0, 0]


def test_kept_photos_make_what_stays_right(folder: TryOnFolder, made: Pictures) -> None:
    worse, better = compared(folder, made), compared(folder, made, keep=True)
    assert better.figures()["psnr_outside"] > worse.figures()["psnr_outside"] + 1
    assert better.conditions()["keeps_photo_outside"]
    assert better.conditions()["pictures"] == worse.conditions()["pictures"]  # as they were given


def test_regions_are_files_named_after_people(folder: TryOnFolder, made: Pictures, tmp_path: Path) -> None:
    for person, _ in made:
        region = Image.new("L", (32, 32))
        region.paste(255, (0, 0, 32, 16))
        region.save(tmp_path / f"{person}_0_mask.png")
    upper = RegionFiles(tmp_path, [person for person, _ in made])
    pictures = {}
    for pair in made:
        pictures[pair] = true_photo(folder, *pair)
        pictures[pair].paste(0, (0, 40, 64, 64))
    comparison = compared(folder, pictures, regions=upper)
    assert comparison.figures()["psnr_inside"] == math.inf
    assert math.isfinite(comparison.figures()["psnr_outside"])
    assert comparison.conditions()["regions"]["from"] == "files"
    with pytest.raises(InputError, match="found no mask of 999999"):
        RegionFiles(tmp_path, ["999999"])


def test_a_picture_is_found_by_its_pairs_names_or_its_persons(
    folder: TryOnFolder, pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    (person, garment), (other, _) = pairs
    for name in (f"{person}_0__{garment}_1.png", f"{other}_0.jpg", "unknown.png"):
        (tmp_path / name).touch()
    found = picture_paths(tmp_path, folder, pairs)
    assert [path.name for path in found.values()] == [f"{person}_0__{garment}_1.png", f"{other}_0.jpg"]
    with pytest.raises(InputError, match=rf"{other}_0.jpg: found one picture for the pairs"):
        picture_paths(tmp_path, folder, [*pairs, (other, other)])
    (tmp_path / f"{other}_0.jpg").unlink()
    with pytest.raises(InputError, match=rf"found no picture of .*, wanted a file called .* or {other}_0"):
        picture_paths(tmp_path, folder, pairs)


def test_a_report_has_all_that_figures_depend_on(folder: TryOnFolder, made: Pictures) -> None:
    distance = Distance("lpips_squeeze", "ab" * 32, lambda image, truth: 0.25)
    content = json.loads(json.dumps(report(compared(folder, made, "catvton", distances=[distance]), {"pictures": "p"})))
    assert content["protocol"]["name"] == "catvton"
    assert content["protocol"]["filter"] == "Pillow lanczos"
    assert content["weights_sha256"] == {"lpips_squeeze": "ab" * 32}
    assert content["versions"]["torch"]
    assert [(each["person"], each["garment"]) for each in content["each"]] == list(made)
    lines = printed(content)
    for wanted in ("lpips_squeeze", "0.2500", "2 pairs of 2 people", content["pairs"]["sha256"][:12], "eval.py"):
        assert wanted in lines
