from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.data.folder import TryOnFolder, read_pairs
from tryon.errors import InputError
from tryon.metrics import evaluate, flow_end_point_error, structural_similarity, true_photo, write_evaluation
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


@pytest.mark.parametrize("role", ["tutor", "student"])
def test_an_evaluation_scores_every_pair(role: str, tiny_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    model, _ = load_model(tiny_run / role)
    pairs = read_pairs(drawn_data / "test_pairs_unpaired.txt")
    evaluation = evaluate(model, TryOnFolder(drawn_data, "test"), pairs)
    assert [(score.person, score.garment) for score in evaluation.pairs] == pairs
    assert evaluation.ssim == pytest.approx(np.mean([score.ssim for score in evaluation.pairs]))
    assert evaluation.end_point_error > 0
    write_evaluation(evaluation, tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["ssim"] == evaluation.ssim


def test_the_truth_of_a_persons_own_garment_is_the_photo(drawn_data: Path, real_photos: Path) -> None:
    folder = TryOnFolder(real_photos, "test")
    assert true_photo(folder, "000010", "000010").size == (192, 256)


def test_a_pair_without_truth_is_refused(real_photos: Path) -> None:
    with pytest.raises(InputError, match="wanted the true photo of the pair"):
        true_photo(TryOnFolder(real_photos, "test"), "000010", "000048")


def test_a_tutor_needs_parsing(tiny_run: Path, real_photos: Path) -> None:
    model, _ = load_model(tiny_run / "tutor")
    folder = TryOnFolder(real_photos, "test")
    with pytest.raises(InputError, match="found no parsing or pose of 004912"):
        evaluate(model, folder, [("004912", "000048")])
