"""How far apart the features of real and of made pictures are, as wholes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tryon.errors import InputError
from tryon.metrics.networks import library

SUBSETS, SUBSET_SIZE = 100, 1000  # of KID
SEED = 0


def frechet_distance(real: Tensor, made: Tensor) -> float:
    """FID (Heusel et al. 2017): squared Frechet distance of Gaussians with the features' means and covariances.

    Args:
        real: N x C float64.
        made: M x C float64.

    Raises:
        InputError: torchmetrics, which computes it, is not installed; or there are fewer than two of either.
    """
    return float(_filled("FID", fid_and_kid()[0], real, made).compute())


def kernel_distance(real: Tensor, made: Tensor) -> float:
    """KID (Binkowski et al. 2018): squared maximum mean discrepancy by the kernel (x y / C + 1)^3, unbiased.

    The mean over 100 pairs of subsets of 1,000 features, or of as many as the fewer are, drawn with a fixed seed;
    where that leaves no choice, of all, once. Arguments and errors as of `frechet_distance`.
    """
    size = min(len(real), len(made), SUBSET_SIZE)
    subsets = 1 if size == max(len(real), len(made)) else SUBSETS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        metric = _filled("KID", fid_and_kid()[1], real, made, subsets=subsets, subset_size=size)
        return float(metric.compute()[0])


def fid_and_kid() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The library's classes. Raises InputError where it is not installed."""
    modules = [library(f"torchmetrics.image.{name}", name.upper()) for name in ("fid", "kid")]
    return modules[0].FrechetInceptionDistance, modules[1].KernelInceptionDistance


class _Features(nn.Module):
    """What torchmetrics takes for a network: these are features already."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = channels

    def forward(self, features: Tensor) -> Tensor:
        return features


def _filled(name: str, kind: Callable[..., Any], real: Tensor, made: Tensor, **options: int) -> Any:
    for features, what in ((real, "photos"), (made, "pictures")):
        if len(features) < 2:
            raise InputError(f"{name}: found {len(features)} {what}, wanted two or more")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that features take memory
        metric = kind(feature=_Features(real.shape[1]), **options)
    metric.update(real, real=True)
    metric.update(made, real=False)
    return metric
