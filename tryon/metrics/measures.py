"""The measures themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tryon.errors import InputError

_GAUSSIAN_SIGMA = 1.5  # the window of the original SSIM paper (Wang et al. 2004)
WINDOW_RADIUS = 5  # pixels, of that window


def similarity_map(image: Image.Image, truth: Image.Image, *, border: bool = False) -> NDArray[np.float64]:
    """SSIM around each pixel of two H x W RGB images, with the 11 x 11 Gaussian window of its authors; 1 is equal.

    Args:
        image: RGB.
        truth: RGB of the same size.
        border: whether pixels less than 5 from an edge count, the images being mirrored there, or only those around
            which the window fits, as its authors have it.

    Returns:
        The mean over channels, H x W with the border and (H - 10) x (W - 10) without.

    Raises:
        InputError: scikit-image, which computes it, is not installed; or the images are smaller than the window.
    """
    try:
        from skimage.metrics import structural_similarity as ssim
    except ImportError:
        raise InputError("scikit-image: not installed, wanted for SSIM (pip install scikit-image)") from None
    if min(image.size) <= 2 * WINDOW_RADIUS:
        raise InputError(f"SSIM: found pictures of {image.height}x{image.width}, wanted 11 pixels each way")
    margin = (WINDOW_RADIUS if border else 0,) * 2
    padded = [np.pad(np.asarray(each), (margin, margin, (0, 0)), mode="reflect") for each in (image, truth)]
    _, similarity = ssim(
        *padded,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=_GAUSSIAN_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return inner(similarity.mean(axis=2))


def structural_similarity(image: Image.Image, truth: Image.Image) -> float:
    """SSIM of two RGB images of one size: the mean of `similarity_map`, which see."""
    return float(similarity_map(image, truth).mean())


def inner(values: NDArray[Any]) -> NDArray[Any]:
    """What of an H x W array has whole SSIM windows around it."""
    return values[WINDOW_RADIUS:-WINDOW_RADIUS, WINDOW_RADIUS:-WINDOW_RADIUS]


def squared_error(image: Image.Image, truth: Image.Image) -> NDArray[np.float64]:
    """Squared differences of two H x W RGB images, the mean over channels: H x W, in squared grey levels of 255."""
    return np.square(_levels(image) - _levels(truth)).mean(axis=2)


def decibels(error: float) -> float:
    """A mean squared error as a peak signal-to-noise ratio, in decibels; infinite where it is 0."""
    return 10 * math.log10(255**2 / error) if error else math.inf


def peak_signal_to_noise_ratio(image: Image.Image, truth: Image.Image) -> float:
    """PSNR of two RGB images of one size, in decibels; infinite where they are equal."""
    return decibels(float(squared_error(image, truth).mean()))


def colour_error(image: Image.Image, truth: Image.Image, region: NDArray[np.bool_]) -> float | None:
    """Mean absolute difference of two RGB images within a region H x W, in grey levels of 255; None without pixels."""
    return float(np.abs(_levels(image) - _levels(truth))[region].mean()) if region.any() else None


def mask_overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float | None:
    """Intersection over union of two masks of one shape, 1 where they are equal; None where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else None


def flow_end_point_error(sampling_map: Tensor, source: Tensor) -> float:
    """Mean distance between estimated and true source positions, in pixels.

    Args:
        sampling_map: 2 x H x W, normalised (align_corners=True).
        source: 2 x H x W, true positions (x, y) in pixels of an H x W product photo; NaN where no garment is seen,
            which does not count.
    """
    height, width = source.shape[-2:]
    x = (sampling_map[0] + 1) / 2 * (width - 1) - source[0]
    y = (sampling_map[1] + 1) / 2 * (height - 1) - source[1]
    return float((x.square() + y.square()).sqrt().nanmean())


def _levels(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)
