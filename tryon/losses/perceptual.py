"""Perceptual distance: L1 between VGG-19 features."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tryon.conversion import check_state_dict, read_state_dict
from tryon.networks.blocks import at_least_float32, scaled_channels

LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""

STAGE_CHANNELS = (64, 128, 256, 512, 512)
STAGE_CONVOLUTIONS = (2, 2, 4, 4, 1)  # of the fifth stage only the first is needed
POOL = 2
TORCHVISION_PREFIX = "features."
RANDOM_SEED = 19
HASH_BLOCK = 1 << 20  # bytes

_log = logging.getLogger(__name__)


@cache
def _say_random() -> None:
    """Once a process: the stages of a run share the reason."""
    _log.warning("perceptual loss: no VGG-19 weights given, so the features are fixed random ones")


class PerceptualLoss(nn.Module):
    """L1 distance of VGG-19 features at relu1_1, 2_1, 3_1, 4_1 and 5_1, weighted 1/32, 1/16, 1/8, 1/4 and 1.

    `weights` is a file with the parameters of a VGG-19 under torchvision's names (`features.0.weight` and so on), as
    .pth or .safetensors; InputError if it is absent, damaged or does not fit. Without a file the features are those
    of fixed random weights, said once in the log; `width` scales their channels, a file's are as published.
    Images go in as they are, in [-1, 1], without the normalisation of the classifier.
    """

    def __init__(self, weights: Path | None, width: float = 1.0) -> None:
        super().__init__()
        self.convolutions = _convolutions(1.0 if weights else width)
        if weights is None:
            _set_random(self.convolutions)
            self._source = "random"
            _say_random()
        else:
            _load(self.convolutions, weights)
            self._source = f"file:{_sha256(weights)}"
        self.requires_grad_(False)

    @property
    def source(self) -> str:
        """Where the features come from, for the run's record: "random" or "file:" and the file's SHA-256."""
        return self._source

    def features(self, image: Tensor) -> list[Tensor]:
        """N x 3 x H x W, any H, W >= 1, to the five feature maps, from full size to 1/16."""
        features: list[Tensor] = []
        convolutions = iter(self.convolutions.values())
        for count in STAGE_CONVOLUTIONS:
            if features:
                image = _pooled(image)
            image = next(convolutions)(image).relu_()
            features.append(image)
            for _ in range(count - 1):
                image = next(convolutions)(image).relu_()
        return features

    def distance(self, features: Sequence[Tensor], target_features: Sequence[Tensor]) -> Tensor:
        """The loss between two results of `features`: weighted mean absolute differences, summed."""
        pairs = zip(LAYER_WEIGHTS, features, target_features, strict=True)
        terms = [weight * F.l1_loss(at_least_float32(a), at_least_float32(b)) for weight, a, b in pairs]
        return torch.stack(terms).sum()

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Loss between two N x 3 x H x W images; no gradient reaches the target."""
        with torch.no_grad():
            target_features = self.features(target)
        return self.distance(self.features(image), target_features)


def _pooled(image: Tensor) -> Tensor:
    """2 x 2 maximum; on a side of one pixel, which the coarsest level reaches, the window is clipped to that pixel."""
    height, width = image.shape[-2:]
    return F.max_pool2d(image, kernel_size=(min(POOL, height), min(POOL, width)), stride=POOL)


def _convolutions(width: float) -> nn.ModuleDict:
    """The convolutions under their position in torchvision's `features`, where ReLUs and poolings count too."""
    layers = nn.ModuleDict()
    position, in_channels = 0, 3
    for channels, count in zip(STAGE_CHANNELS, STAGE_CONVOLUTIONS, strict=True):
        for _ in range(count):
            out_channels = scaled_channels(channels, width)
            layers[str(position)] = nn.utils.skip_init(nn.Conv2d, in_channels, out_channels, kernel_size=3, padding=1)
            position, in_channels = position + 2, out_channels
        position += 1
    return layers


def _set_random(convolutions: nn.ModuleDict) -> None:
    """Fixed weights whose variance, 2 / inputs (He et al. 2015), keeps the scale of the features through the ReLUs."""
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    for parameter in convolutions.parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)


def _load(convolutions: nn.ModuleDict, path: Path) -> None:
    state = read_state_dict(path)
    own = convolutions.state_dict()
    shapes = {TORCHVISION_PREFIX + key: value.shape for key, value in own.items()}
    check_state_dict(state, shapes, str(path), ignored=state)  # the file holds the rest of the classifier too
    convolutions.load_state_dict({key: state[TORCHVISION_PREFIX + key] for key in own})


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
