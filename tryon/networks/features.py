"""Feature encoder and feature pyramid, one of each for the garment and for the condition."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tryon.networks.blocks import PreActivationBlock, convolution, scaled_channels

ENCODER_CHANNELS = (64, 128, 256, 256, 256)
PYRAMID_CHANNELS = 256


class FeatureEncoder(nn.Sequential):
    """Five stages, each halving the size: a downsampling block, then two pre-activation residual blocks."""

    def __init__(self, in_channels: int, width: float) -> None:
        stages = []
        for channels in ENCODER_CHANNELS:
            out_channels = scaled_channels(channels, width)
            stages.append(
                nn.Sequential(
                    nn.BatchNorm2d(in_channels),
                    nn.ReLU(inplace=True),
                    convolution(in_channels, out_channels, stride=2),
                    PreActivationBlock(out_channels),
                    PreActivationBlock(out_channels),
                )
            )
            in_channels = out_channels
        super().__init__(*stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """N x C x H x W (sides multiples of 32) to the features of the five stages, 1/2 to 1/32 of the size."""
        features = []
        for stage in self:
            image = stage(image)
            features.append(image)
        return features


class FeaturePyramid(nn.Module):
    """Carries coarse features to the finer levels; every level comes out with the same channels.

    From the coarsest level up: 1 x 1 convolution of the encoder's features, plus the nearest x2 upsampling of the
    coarser level's output, then a 3 x 3 convolution.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        out_channels = scaled_channels(PYRAMID_CHANNELS, width)
        self.lateral = nn.ModuleList(
            nn.Conv2d(scaled_channels(channels, width), out_channels, kernel_size=1)
            for channels in reversed(ENCODER_CHANNELS)
        )
        self.smooth = nn.ModuleList(convolution(out_channels, out_channels, bias=True) for _ in ENCODER_CHANNELS)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The encoder's features, fine to coarse, to the pyramid's levels, coarse (1/32) to fine (1/2)."""
        levels: list[Tensor] = []
        for lateral, smooth, feature in zip(self.lateral, self.smooth, reversed(features), strict=True):
            level = lateral(feature)
            if levels:
                level = level + F.interpolate(levels[-1], scale_factor=2.0, mode="nearest")
            levels.append(smooth(level))
        return tuple(levels)
