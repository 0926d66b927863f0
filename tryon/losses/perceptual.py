"""Perceptual distance: L1 between VGG-19 features."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tryon_kernels as tk
from tryon.conversion import check_state_dict, read_state_dict
from tryon.files import sha256_of
from tryon.networks.blocks import scaled_channels
from tryon.networks.frozen import freeze

LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""

STAGE_CHANNELS = (64, 128, 256, 512, 512)
STAGE_CONVOLUTIONS = (2, 2, 4, 4, 1)  # of the fifth stage only the first is needed
POOL = 2
BUSY_PIXELS = 2 * 256 * 192  # with so many some samples alone keep a CPU busy
TORCHVISION_PREFIX = "features."
RANDOM_SEED = 19

Back: TypeAlias = Callable[[Tensor], Tensor]
"""From the gradient of what a step gave to that of what it was given."""

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
            self._source = f"file:{sha256_of(weights)}"
        layers = (cast(nn.Conv2d, layer) for layer in self.convolutions.values())
        self.levels = nn.ModuleList(
            nn.ModuleList(_Layer(next(layers), compared=i == 0) for i in range(count)) for count in STAGE_CONVOLUTIONS
        )
        self.requires_grad_(False)

    @property
    def source(self) -> str:
        """Where the features come from, for the run's record: "random" or "file:" and the file's SHA-256."""
        return self._source

    def freeze(self, dtype: torch.dtype | None) -> None:
        """Make the convolutions fast for good, in `dtype` or the one they have (`tryon.networks.frozen.freeze`)."""
        del self.convolutions  # the layers have them too
        freeze(self, dtype)

    @torch.no_grad()
    def features(self, image: Tensor) -> list[Tensor]:
        """N x 3 x H x W, any H, W >= 1, to the five feature maps, from full size to 1/16; without gradient."""
        maps: list[Tensor] = []
        for compared, others in self._layers():
            image = compared.there(_pooled(image) if maps else image).relu_()
            maps.append(image)
            for layer in others:
                image = layer.there(image)
        return maps

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Loss between two N x 3 x H x W images, 0-d; no gradient reaches the target."""
        return self.distances(target, image)[0]

    def distances(self, target: Tensor, *images: Tensor) -> tuple[Tensor, ...]:
        """Loss of each image from one target, whose features are computed once: N x 3 x H x W each, to 0-d each.

        An image's gradient is computed at once, so that no more than one image's features are kept at a time; on a CPU
        of no more samples than keep it busy.
        """
        return _Distances.apply(self, target.detach(), *images)

    def _layers(self) -> Iterator[tuple[_Layer, list[_Layer]]]:
        """Of each level the one whose features are compared, and those after it."""
        for level in cast("Iterable[nn.ModuleList]", self.levels):
            compared, *others = cast("Iterable[_Layer]", level)
            yield compared, others

    @torch.no_grad()
    def _distance(self, image: Tensor, target_features: Sequence[Tensor]) -> tuple[Tensor, list[Back]]:
        """Weighted mean absolute differences, summed; and the steps back to their gradient, from the last.

        The gradient is that of the sum, not of the mean, whose own would be too small for half formats. Of so many
        small steps torch's record takes as long as the steps themselves; this one does not.
        """
        factor = image.numel()
        distances: list[Tensor] = []
        back: list[Back] = []

        def noted(output: Tensor, step: Back) -> Tensor:
            back.append(step)
            return output

        levels = zip(LAYER_WEIGHTS, self._layers(), target_features, strict=True)
        for weight, (compared, others), target in levels:
            image = noted(*_pool(image)) if distances else image
            features = noted(*compared(image))
            image, distance, step = _compare(features, target, weight * factor)
            distances.append(weight * distance)
            back.append(step)
            for layer in others:
                image = noted(*layer(image))
        return torch.stack(distances).sum(), back


class _Layer(nn.Module):
    """A convolution, with its ReLU unless what it gives is compared, and the convolution that takes gradients back."""

    def __init__(self, convolution: nn.Conv2d, *, compared: bool) -> None:
        super().__init__()
        # A gradient comes from where its feature went: the same weights, seen from the other side.
        turned = nn.utils.skip_init(
            nn.Conv2d, convolution.out_channels, convolution.in_channels, kernel_size=3, padding=1, bias=False
        )
        turned.weight = nn.Parameter(convolution.weight.detach().flip(2, 3).transpose(0, 1).contiguous())
        self.compared = compared
        self.there = nn.Sequential(convolution, nn.Identity() if compared else nn.ReLU(inplace=True))
        self.turned = nn.Sequential(turned)

    def forward(self, image: Tensor) -> tuple[Tensor, Back]:
        """N x C x H x W to the same size."""
        output = self.there(image)
        if self.compared:
            return output, self.turned
        return output, lambda grad: self.turned(torch.ops.aten.threshold_backward(grad, output, 0))


def _pool(image: Tensor) -> tuple[Tensor, Back]:
    window = _window(image)
    output, places = F.max_pool2d(image, window, stride=POOL, return_indices=True)
    of = torch.ops.aten.max_pool2d_with_indices_backward
    return output, lambda grad: of(grad, image, window, (POOL, POOL), (0, 0), (1, 1), False, places)


def _compare(features: Tensor, target: Tensor, factor: float) -> tuple[Tensor, Tensor, Back]:
    """The features through a ReLU, their distance from the target's, and the way back, the distance's by a factor."""
    activated, distance = tk.feature_distance(features, target)
    of, by_distance = torch.ops.tryon_kernels.feature_distance_backward, torch.full_like(distance, factor)
    return activated, distance, lambda grad: of(grad, by_distance, activated, target, True, True, False)[0]


class _Distances(torch.autograd.Function):
    """The losses of images, and their gradients beside them."""

    @staticmethod
    def forward(ctx: Any, loss: PerceptualLoss, target: Tensor, *images: Tensor) -> tuple[Tensor, ...]:
        distances: list[list[Tensor]] = [[] for _ in images]
        gradients = [torch.empty_like(image) if image.requires_grad else None for image in images]
        at_a_time = _samples_at_a_time(target)
        for first in range(0, len(target), at_a_time):
            some = slice(first, first + at_a_time)
            target_features = loss.features(target[some])
            share = len(target_features[0]) / len(target)
            for image, gradient, parts in zip(images, gradients, distances, strict=True):
                distance, back = loss._distance(image.detach()[some], target_features)
                parts.append(share * distance)
                if gradient is not None:
                    gradient[some] = _taken_back(torch.zeros_like(target_features[-1]), back)
        ctx.save_for_backward(*gradients)
        return tuple(torch.stack(parts).sum() for parts in distances)

    @staticmethod
    def backward(ctx: Any, *grad_distances: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # by create_graph, whose derivatives would lack this one without a word
            raise RuntimeError("perceptual loss: found create_graph=True, wanted a first derivative: it has no second")
        gradients = (
            None if gradient is None else gradient * (grad / gradient.numel())
            for gradient, grad in zip(ctx.saved_tensors, grad_distances, strict=True)
        )
        return None, None, *gradients


def _taken_back(gradient: Tensor, back: list[Back]) -> Tensor:
    while back:  # each step lets go of what it kept
        gradient = back.pop()(gradient)
    return gradient


def _samples_at_a_time(images: Tensor) -> int:
    """Of how many the features are in memory together. A GPU is kept busy by the batch."""
    if images.device.type != "cpu":
        return len(images)
    return max(1, BUSY_PIXELS // (images.shape[2] * images.shape[3]))


def _pooled(image: Tensor) -> Tensor:
    return F.max_pool2d(image, _window(image), stride=POOL)


def _window(image: Tensor) -> tuple[int, int]:
    """2 x 2; on a side of one pixel, which the coarsest level reaches, clipped to that pixel."""
    height, width = image.shape[-2:]
    return min(POOL, height), min(POOL, width)


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
