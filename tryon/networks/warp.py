"""The warping network: from a garment and a condition to the appearance flow."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tryon.errors import InputError
from tryon.networks.blocks import checked_and_padded
from tryon.networks.features import FeatureEncoder, FeaturePyramid
from tryon.networks.flow import AppearanceFlow, FlowNetwork, cropped_map

GARMENT_CHANNELS = 3


class WarpNetwork(nn.Module):
    """Estimates how a garment must be warped to lie on a person.

    `condition_channels` is all that differs between tutor (masks, DensePose and pose) and student (the photo).
    `width` scales the channels of every inner layer; 1 is the published size.
    """

    def __init__(self, condition_channels: int, width: float = 1.0) -> None:
        super().__init__()
        self.condition_channels = condition_channels
        self.garment_encoder = FeatureEncoder(GARMENT_CHANNELS, width)
        self.condition_encoder = FeatureEncoder(condition_channels, width)
        self.garment_pyramid = FeaturePyramid(width)
        self.condition_pyramid = FeaturePyramid(width)
        self.flow = FlowNetwork(width)

    def forward(self, garment: Tensor, condition: Tensor) -> AppearanceFlow:
        """Garment N x 3 x H x W in [-1, 1] and condition N x C x H x W, any H, W >= 1.

        Both are padded with zeros at the bottom and right to multiples of 32, at least 64. The levels stay at that
        size; the final map is cropped back. Raises InputError on shapes that do not fit.
        """
        if garment.shape[0] != condition.shape[0] or garment.shape[2:] != condition.shape[2:]:
            raise InputError(
                f"garment and condition must agree in batch, height and width; got {tuple(garment.shape)} "
                f"and {tuple(condition.shape)}"
            )
        return self.estimate_flow(garment, self.condition_features(condition))

    def condition_features(self, condition: Tensor) -> tuple[Tensor, ...]:
        """The condition's pyramid, coarse to fine: computed once, it serves any number of garments."""
        padded = checked_and_padded("condition", condition, self.condition_channels)
        return self.condition_pyramid(self.condition_encoder(padded))

    def estimate_flow(self, garment: Tensor, condition_features: Sequence[Tensor]) -> AppearanceFlow:
        """The flow of `garment` under a condition given by its features, at the garment's size."""
        padded = checked_and_padded("garment", garment, GARMENT_CHANNELS)
        levels = self.flow(self.garment_pyramid(self.garment_encoder(padded)), condition_features)
        return AppearanceFlow(levels, cropped_map(levels[-1].sampling_map, *garment.shape[-2:]))
