"""How far apart the features of real and of made pictures are, as wholes."""

from __future__ import annotations

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
    metric = library("torchmetrics.image.fid", "FID").FrechetInceptionDistance(feature=_Features(real.shape[1]))
    return float(_filled(metric, "FID", real, made).compute())


def kernel_distance(real: Tensor, made: Tensor) -> float:
    """KID (Binkowski et al. 2018): squared maximum mean discrepancy by the kernel (x y / C + 1)^3, unbiased.

    The mean over 100 pairs of subsets of 1,000 features, or of as many as the fewer are, drawn with a fixed seed;
    where that leaves no choice, of all, once. Arguments and errors as of `frechet_distance`.
    """
    size = min(len(real), len(made), SUBSET_SIZE)
    metric = library("torchmetrics.image.kid", "KID").KernelInceptionDistance(
        feature=_Features(real.shape[1]), subsets=1 if size == max(len(real), len(made)) else SUBSETS, subset_size=size
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return float(_filled(metric, "KID", real, made).compute()[0])


class _Features(nn.Module):
    """What torchmetrics takes for a network: these are features already."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = channels

    def forward(self, features: Tensor) -> Tensor:
        return features


def _filled(metric: Any, name: str, real: Tensor, made: Tensor) -> Any:
    for features, kind in ((real, "photos"), (made, "pictures")):
        if len(features) < 2:
            raise InputError(f"{name}: found {len(features)} {kind}, wanted two or more")
    metric.update(real, real=True)
    metric.update(made, real=False)
    return metric
