from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tryon.errors import InputError
from tryon.metrics import frechet_distance, kernel_distance


def features(count: int, channels: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """Correlated, and not negative, as those of a ReLU are."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, channels)) @ np.random.default_rng(9).normal(size=(channels, channels))
    return torch.from_numpy(np.abs(mixed + shift))


def fid_by_formula(real: np.ndarray, made: np.ndarray) -> float:
    """|m - n|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2)), whose roots are of symmetric matrices."""
    a, b = (np.cov(each, rowvar=False) for each in (real, made))
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(0)).sum()
    return float(np.square(real.mean(axis=0) - made.mean(axis=0)).sum() + np.trace(a) + np.trace(b) - 2 * cross)


def kid_by_formula(real: np.ndarray, made: np.ndarray) -> float:
    """Means of the kernel over pairs of different photos, of different pictures, and of one of each."""
    (n, channels), m = real.shape, len(made)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / channels + 1) ** 3)

    of_real = sum(kernel(real[i], real[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    of_made = sum(kernel(made[i], made[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return of_real + of_made - 2 * sum(kernel(x, y) for x in real for y in made) / (n * m)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_the_library_that_is_not_installed_is_one_line(distance: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(InputError, match=r"torchmetrics is not installed, wanted pip install tryon-kernels\[metrics\]"):
        distance(features(4, 2, 0), features(4, 2, 1))


@pytest.mark.extras
class TestAgainstFormulas:
    @pytest.fixture(autouse=True)
    def torchmetrics(self, torchvision_models):
        """torchmetrics imports torchvision where it is."""
        return pytest.importorskip("torchmetrics", reason="torchmetrics is not installed: make extras")

    def test_fid_of_more_pictures_than_features(self) -> None:
        real, made = features(300, 24, 0), features(200, 24, 1, shift=0.5)
        assert frechet_distance(real, made) == pytest.approx(fid_by_formula(real.numpy(), made.numpy()), rel=1e-9)

    def test_fid_of_fewer_pictures_than_features(self) -> None:
        real, made = features(20, 64, 0), features(20, 64, 1, shift=0.5)
        # Eigenvalues that are 0 come out as roundings of the largest, whose roots are summed: some 1e-8 of the trace
        # for each feature.
        wanted = fid_by_formula(real.numpy(), made.numpy())
        assert frechet_distance(real, made) == pytest.approx(wanted, rel=64 * 1e-8)

    def test_kid(self) -> None:
        real, made = features(40, 24, 0), features(40, 24, 1, shift=0.5)
        assert kernel_distance(real, made) == pytest.approx(kid_by_formula(real.numpy(), made.numpy()), rel=1e-9)

    def test_kid_of_other_numbers_of_photos_draws_the_same_subsets_each_time(self) -> None:
        real, made = features(60, 8, 0), features(40, 8, 1, shift=0.5)
        torch.manual_seed(1)
        first = kernel_distance(real, made)
        drawn = torch.rand(())
        torch.manual_seed(1)
        assert torch.rand(()) == drawn  # whoever draws besides is not disturbed
        assert kernel_distance(real, made) == first
        assert first == pytest.approx(kid_by_formula(real.numpy(), made.numpy()), rel=0.2)

    def test_they_are_clean_fids(self) -> None:
        clean = pytest.importorskip("cleanfid.fid", reason="clean-fid is not installed: make extras")
        real, made = features(300, 24, 0), features(300, 24, 1, shift=0.5)
        assert frechet_distance(real, made) == pytest.approx(clean.fid_from_feats(real.numpy(), made.numpy()), rel=1e-9)
        wanted = clean.kernel_distance(real.numpy(), made.numpy(), num_subsets=1)
        assert kernel_distance(real, made) == pytest.approx(wanted, rel=1e-9)

    def test_one_picture_has_no_distribution(self) -> None:
        with pytest.raises(InputError, match="FID: found 1 pictures, wanted two or more"):
            frechet_distance(features(4, 2, 0), features(1, 2, 1))
