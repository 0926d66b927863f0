from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.errors import InputError
from tryon.metrics import peak_signal_to_noise_ratio, structural_similarity
from tryon.metrics.measures import similarity_map


@pytest.fixture
def images() -> tuple[Image.Image, Image.Image]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (40, 32, 3))
    image = (truth + rng.integers(-40, 40, truth.shape)).clip(0, 255)
    return Image.fromarray(image.astype(np.uint8)), Image.fromarray(truth.astype(np.uint8))


def ssim_by_formula(image: np.ndarray, truth: np.ndarray) -> float:
    """Wang et al. 2004 in float64: 11 x 11 Gaussian windows that fit, deviation 1.5, K 0.01 and 0.03, each channel."""
    distances = np.arange(-5, 6)
    line = np.exp(-(distances**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        return np.einsum("hwcij,ij->hwc", np.lib.stride_tricks.sliding_window_view(values, (11, 11), (0, 1)), window)

    x, y = image.astype(float), truth.astype(float)
    mx, my = mean(x), mean(y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    spread = mean(x * x) - mx**2 + mean(y * y) - my**2
    both = mean(x * y) - mx * my
    return float(((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (spread + c2))).mean())


def test_ssim_is_its_formula_in_float64(images: tuple[Image.Image, Image.Image]) -> None:
    wanted = ssim_by_formula(*map(np.asarray, images))
    assert structural_similarity(*images) == pytest.approx(wanted, rel=1e-12)


def test_ssim_with_its_border_is_that_of_mirrored_images(images: tuple[Image.Image, Image.Image]) -> None:
    mirrored = [np.pad(np.asarray(each), ((5, 5), (5, 5), (0, 0)), mode="reflect") for each in images]
    bordered = similarity_map(*images, border=True)
    assert bordered.shape == (40, 32)
    assert bordered.mean() == pytest.approx(ssim_by_formula(*mirrored), rel=1e-12)
    np.testing.assert_allclose(bordered[5:-5, 5:-5], similarity_map(*images), rtol=0, atol=1e-12)


def test_ssim_of_less_than_a_window_is_one_line() -> None:
    with pytest.raises(InputError, match="SSIM: found pictures of 10x40, wanted 11 pixels each way"):
        structural_similarity(*(Image.new("RGB", (40, 10)) for _ in range(2)))


@pytest.mark.extras
def test_ssim_and_psnr_are_those_of_the_published_protocols_library(
    images: tuple[Image.Image, Image.Image], torchvision_models
) -> None:
    functional = pytest.importorskip(
        "torchmetrics.functional.image", reason="torchmetrics is not installed: make extras"
    )
    # In float64: torchmetrics' variances are differences of means, which in float32 lose up to four digits of SSIM.
    image, truth = (torch.from_numpy(np.array(each)).permute(2, 0, 1)[None].double() / 255 for each in images)
    ssim = functional.structural_similarity_index_measure(image, truth, data_range=1.0)
    psnr = functional.peak_signal_noise_ratio(image, truth, data_range=1.0)  # its logarithm is of float32
    assert similarity_map(*images, border=True).mean() == pytest.approx(ssim.item(), rel=1e-10)
    assert peak_signal_to_noise_ratio(*images) == pytest.approx(psnr.item(), rel=1e-6)
