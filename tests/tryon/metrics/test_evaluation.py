from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.synthetic import Label
from tryon.errors import InputError
from tryon.losses import PerceptualLoss
from tryon.metrics import (
    MEASURES,
    colour_error,
    evaluate,
    evaluation,
    flow_end_point_error,
    mask_overlap,
    peak_signal_to_noise_ratio,
    structural_similarity,
    true_photo,
    write_evaluation,
)
from tryon.models import Student, Warped
from tryon.networks import AppearanceFlow
from tryon.weights import load_model


def test_ssim_of_equal_images_is_one_and_noise_lowers_it() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    other = np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    assert structural_similarity(Image.fromarray(image), Image.fromarray(image)) == pytest.approx(1)
    assert structural_similarity(Image.fromarray(image), Image.fromarray(other)) < 0.2


def test_the_end_point_error_is_a_distance_in_pixels_where_there_is_truth() -> None:
    sampling_map = torch.zeros(2, 5, 9)  # the centre of the product photo: x = 4, y = 2
    source = torch.full((2, 5, 9), float("nan"))
    source[:, 1, 1] = torch.tensor([4.0, 2.0])
    source[:, 2, 3] = torch.tensor([4.0 + 3.0, 2.0 - 4.0])
    assert flow_end_point_error(sampling_map, source) == pytest.approx(2.5)


def test_psnr_is_the_error_in_decibels_of_full_scale() -> None:
    image, truth = (Image.new("RGB", (8, 6), (level, level, level)) for level in (151, 100))
    assert peak_signal_to_noise_ratio(image, truth) == pytest.approx(20 * math.log10(255 / 51))
    assert peak_signal_to_noise_ratio(truth, truth) == math.inf


def test_a_colour_error_is_the_mean_difference_within_its_region() -> None:
    image, truth = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    image[0, 0], image[3, 3] = (30, 0, 0), (255, 255, 255)
    region = np.zeros((4, 4), bool)
    region[0, :2] = True
    assert colour_error(Image.fromarray(image), Image.fromarray(truth), region) == 30 / 6
    assert colour_error(Image.fromarray(image), Image.fromarray(truth), ~np.ones((4, 4), bool)) is None


def test_the_overlap_of_masks_is_what_both_have_of_what_either_has() -> None:
    left, right = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    left[:, :3], right[:, 2:] = True, True
    assert mask_overlap(left, right) == 2 / 8
    assert mask_overlap(left, left) == 1
    assert mask_overlap(left & ~left, left & ~left) is None


def truth_of(folder: TryOnFolder, person: str, garment: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The true photo, labels and source positions of a pair of a drawn folder."""
    name = f"{person}_0__{garment}_1"
    labels = np.asarray(Image.open(folder.root / "test_truth_label" / f"{name}.png"))
    source = np.load(folder.root / "test_flow" / f"{name}.npz")["source"]
    return np.array(true_photo(folder, person, garment)), labels, source


def evaluated(folder: TryOnFolder, monkeypatch: pytest.MonkeyPatch, change: Callable) -> evaluation.PairScore:
    """Scores of the first unpaired try-on, were it the truth but for what `change` does to its photo and labels."""
    pair = read_pairs(folder.root / "test_pairs_unpaired.txt")[0]
    photo, labels, source = truth_of(folder, *pair)
    change(photo, labels, truth_of(folder, pair[0], pair[0])[1])
    height, width = labels.shape
    scale = torch.tensor([width - 1, height - 1]).view(2, 1, 1) / 2
    sampling_map = torch.from_numpy(source) / scale - 1
    mask = torch.from_numpy(labels == Label.GARMENT).float()[None, None]
    warped = Warped(AppearanceFlow((), sampling_map[None]), torch.zeros(1, 3, height, width), mask)
    monkeypatch.setattr(evaluation, "dress_pair", lambda *_: (Image.fromarray(photo), warped))
    student = Student(width=1 / 16, generator=True)  # never asked
    (score,) = evaluate(student, folder, [pair], perceptual=PerceptualLoss(None, 1 / 16)).pairs
    return score


def test_the_truth_itself_scores_perfectly_in_every_measure(drawn_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = evaluated(TryOnFolder(drawn_data, "test"), monkeypatch, lambda *_: None)
    found = {name: getattr(score, name) for name in MEASURES}
    # A position goes to [-1, 1] and back in float32: some roundings of 64 pixels.
    assert found.pop("end_point_error") == pytest.approx(0, abs=64 * 8 * torch.finfo(torch.float32).eps)
    assert found.pop("ssim") == pytest.approx(1)
    assert found == {"psnr": math.inf, "perceptual": 0, "mask_overlap": 1, "skin_error": 0, "kept_error": 0}


def test_wrong_skin_is_an_error_of_skin_and_wrong_hair_one_of_what_stays(
    drawn_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = TryOnFolder(drawn_data, "test")

    def wrong(*wanted: Label) -> Callable:
        def change(photo: np.ndarray, labels: np.ndarray, own: np.ndarray) -> None:
            region = np.isin(labels, wanted)
            assert region.any()
            photo[region] ^= 64

        return change

    skin = evaluated(folder, monkeypatch, wrong(Label.LEFT_ARM, Label.RIGHT_ARM, Label.NECK))
    assert (skin.skin_error, skin.kept_error) == (64, 0)
    neck = evaluated(folder, monkeypatch, wrong(Label.NECK))
    assert 0 < neck.skin_error < 64
    garment = evaluated(folder, monkeypatch, wrong(Label.GARMENT))
    assert (garment.skin_error, garment.kept_error) == (0, 0)
    hair = evaluated(folder, monkeypatch, wrong(Label.HAIR))
    assert hair.skin_error == 0
    assert 0 < hair.kept_error < 64


def test_what_only_one_of_the_photos_shows_does_not_count_as_staying(
    drawn_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(photo: np.ndarray, labels: np.ndarray, own: np.ndarray) -> None:
        assert (labels != own).any()
        photo[labels != own] ^= 64

    assert evaluated(TryOnFolder(drawn_data, "test"), monkeypatch, change).kept_error == 0


@pytest.mark.parametrize("role", ["tutor", "student"])
def test_an_evaluation_scores_every_pair(role: str, tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    model, _ = load_model(tiny_run / role)
    pairs = read_pairs(drawn_data / "test_pairs_unpaired.txt")
    scores = evaluate(model, TryOnFolder(drawn_data, "test"), pairs)
    assert [(score.person, score.garment) for score in scores.pairs] == pairs
    for name in MEASURES:
        values = [getattr(score, name) for score in scores.pairs]
        if name == "perceptual":  # no features were given
            assert {*values, scores.perceptual} == {None}
        else:
            assert getattr(scores, name) == pytest.approx(np.mean(values))
    assert scores.end_point_error > 0
    write_evaluation(scores, tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["ssim"] == scores.ssim


def test_the_truth_of_a_persons_own_garment_is_the_photo(drawn_data: Path, real_photos: Path) -> None:
    folder = TryOnFolder(real_photos, "test")
    assert true_photo(folder, "000010", "000010").size == (192, 256)


def test_the_truth_of_a_pair_may_have_its_accents_written_in_another_way(
    drawn_data: Path, tmp_path: Path, tiny_run: Path
) -> None:
    """As a copy by way of another system leaves it: names of photos composed, of truths decomposed."""
    data = Path(shutil.copytree(drawn_data, tmp_path / "data"))
    for path in [path for path in data.glob("test_*/*000000*")]:
        accented = "zo\u00eb" if path.parent.name in ("test_img", "test_clothes") else "zoe\u0308"
        path.rename(path.with_name(path.name.replace("000000", accented)))
    folder, student = TryOnFolder(data, "test"), load_model(tiny_run / "student")[0]
    (found,) = evaluate(student, folder, [("zo\u00eb", "zo\u00eb")]).pairs
    (wanted,) = evaluate(student, TryOnFolder(drawn_data, "test"), [("000000", "000000")]).pairs
    assert replace(found, person="", garment="") == replace(wanted, person="", garment="")
    assert None not in (found.end_point_error, found.mask_overlap, found.skin_error)


def test_a_pair_without_truth_is_refused(real_photos: Path) -> None:
    with pytest.raises(InputError, match="wanted the true photo of the pair"):
        true_photo(TryOnFolder(real_photos, "test"), "000010", "000048")


def test_a_tutor_needs_parsing(tiny_run: Path, real_photos: Path) -> None:
    model, _ = load_model(tiny_run / "tutor")
    folder = TryOnFolder(real_photos, "test")
    with pytest.raises(InputError, match="found no parsing or pose of 004912"):
        evaluate(model, folder, [("004912", "000048")])
