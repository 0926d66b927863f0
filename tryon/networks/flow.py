"""The appearance flow: what it is, and the network that estimates it from two feature pyramids.

A sampling map S is N x 2 x H x W: for every target pixel the normalised source position in [-1, 1] (channel 0 = x,
align_corners=True: -1 and 1 are the centres of the outermost pixels). Offsets are in pixels of their level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tryon_kernels as tk
from tryon.networks.blocks import at_least_float32, convolution, scaled_channels
from tryon.networks.features import ENCODER_CHANNELS, PYRAMID_CHANNELS
from tryon.networks.remade import remade

CORRELATION_RADIUS = 3
CORRELATION_CHANNELS = (2 * CORRELATION_RADIUS + 1) ** 2
NEGATIVE_SLOPE = 0.1
OFFSET_STACK_CHANNELS = (128, 64, 32)


@dataclass(frozen=True)
class FlowLevel:
    """What one level (h x w) of the flow network gives.

    `sampling_map`: N x 2 x 2h x 2w, after the x2 upsampling, normalised. `offsets`: the correlation's and the
    refinement's residual offset, each N x 2 x h x w in pixels of the level. `condition_features`: N x C x h x w.
    Sizes are those of the padded picture. A flow that no network estimated has no offsets, and features of no channel.
    """

    sampling_map: Tensor
    offsets: tuple[Tensor, ...]
    condition_features: Tensor


@dataclass(frozen=True)
class AppearanceFlow:
    """Where every pixel of the target comes from: the levels, coarse to fine, and the map at the picture's own size.

    `sampling_map`: N x 2 x H x W, normalised to the unpadded picture.
    """

    levels: tuple[FlowLevel, ...]
    sampling_map: Tensor

    def warp(self, image: Tensor, padding_mode: str = "border") -> Tensor:
        """Sample N x C x any size at the map's positions: N x C x H x W. `padding_mode` is "border" or "zeros"."""
        return sample(image, self.sampling_map, padding_mode)

    def filled(self, other: AppearanceFlow) -> AppearanceFlow:
        """This flow with another's positions, without their gradient, where its own are NaN."""

        def fill(own: Tensor, others: Tensor) -> Tensor:
            return torch.where(own.isnan(), others.detach(), own)

        pairs = zip(self.levels, other.levels, strict=True)
        levels = tuple(replace(own, sampling_map=fill(own.sampling_map, of.sampling_map)) for own, of in pairs)
        return AppearanceFlow(levels, fill(self.sampling_map, other.sampling_map))


def sample(image: Tensor, sampling_map: Tensor, padding_mode: str = "border") -> Tensor:
    """Sample `image` bilinearly at a normalised sampling map."""
    grid = sampling_map.permute(0, 2, 3, 1)
    return tk.grid_sample(image, grid, padding_mode=padding_mode, align_corners=True)


def _normalised(x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Pixel positions (each N x H x W) as a sampling map; a side of one pixel has only the position 0."""
    return torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), dim=1)


def map_of_offset(offset: Tensor) -> Tensor:
    """The sampling map of p + offset(p), N x 2 x H x W in pixels to normalised; zero offsets give the identity."""
    height, width = offset.shape[-2:]
    columns = torch.arange(width, device=offset.device, dtype=offset.dtype)
    rows = torch.arange(height, device=offset.device, dtype=offset.dtype)
    return _normalised(columns + offset[:, 0], rows[:, None] + offset[:, 1], height, width)


def flow_of_positions(positions: Tensor) -> AppearanceFlow:
    """The appearance flow of positions from elsewhere, N x 2 x H x W in pixels of an H x W picture, NaN where unknown.

    A level's map has, for each of its pixels, the mean of the known positions that it covers. H and W are multiples of
    2^4, as the networks' padded pictures are.
    """
    known = positions.isfinite().all(dim=1, keepdim=True)
    finite = torch.where(known, positions, 0)
    levels = []
    for halvings in reversed(range(len(ENCODER_CHANNELS))):
        scale = 2**halvings
        share = F.avg_pool2d(known.to(positions.dtype), scale)
        x, y = ((F.avg_pool2d(finite, scale) / share + 0.5) / scale - 0.5).unbind(dim=1)  # 0 / 0 is NaN
        sampling_map = _normalised(x, y, *x.shape[-2:])
        no_features = positions.new_empty((len(positions), 0, *(side // 2 for side in x.shape[-2:])))
        levels.append(FlowLevel(sampling_map, (), no_features))
    return AppearanceFlow(tuple(levels), levels[-1].sampling_map)


def cropped_map(sampling_map: Tensor, height: int, width: int) -> Tensor:
    """The top left height x width of a map, its positions normalised to that size instead of the map's own."""
    full_height, full_width = sampling_map.shape[-2:]
    if (full_height, full_width) == (height, width):
        return sampling_map
    corner = sampling_map[:, :, :height, :width]
    x = (corner[:, 0] + 1) / 2 * (full_width - 1)
    y = (corner[:, 1] + 1) / 2 * (full_height - 1)
    return _normalised(x, y, height, width)


def _offset_stack(in_channels: int, width: float) -> nn.Sequential:
    """Four convolutions down to a residual offset, with leaky ReLU between."""
    layers: list[nn.Module] = []
    for channels in OFFSET_STACK_CHANNELS:
        out_channels = scaled_channels(channels, width)
        layers += [convolution(in_channels, out_channels, bias=True), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)]
        in_channels = out_channels
    return nn.Sequential(*layers, convolution(in_channels, 2, bias=True))


def composed_map(sampling_map: Tensor | None, offset: Tensor) -> Tensor:
    """S(p + offset(p)), or the map of p + offset(p) itself where there is no S yet."""
    if sampling_map is None:
        return map_of_offset(offset)
    return tk.warp(sampling_map, offset, padding_mode="border")


class FlowNetwork(nn.Module):
    """Refines the sampling map level by level, coarse to fine, with weights of its own at every level.

    A level makes a first offset from the correlation volume, then a second one from the warped garment's features.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        features = 2 * scaled_channels(PYRAMID_CHANNELS, width)
        self.correlation = nn.ModuleList(_offset_stack(CORRELATION_CHANNELS, width) for _ in ENCODER_CHANNELS)
        self.refinement = nn.ModuleList(_offset_stack(features, width) for _ in ENCODER_CHANNELS)

    def forward(self, garment: Sequence[Tensor], condition: Sequence[Tensor]) -> tuple[FlowLevel, ...]:
        """Two pyramids, coarse to fine, to the levels of the flow."""
        levels: list[FlowLevel] = []
        for inputs in zip(self.correlation, self.refinement, garment, condition, strict=True):
            levels.append(_flow_level(*inputs, levels[-1].sampling_map if levels else None))
        return tuple(levels)


def _flow_level(
    correlation: nn.Module, refinement: nn.Module, garment: Tensor, condition: Tensor, previous: Tensor | None
) -> FlowLevel:
    """One level from features N x C x h x w and the coarser level's map N x 2 x h x w, if there is one."""
    first = at_least_float32(correlation(_correlation_volume(garment, condition, previous)))
    sampling_map = composed_map(previous, first)

    second = at_least_float32(_refined(refinement, garment, condition, sampling_map))
    sampling_map = composed_map(sampling_map, second)

    upsampled = F.interpolate(sampling_map, scale_factor=2.0, mode="bilinear", align_corners=False)
    return FlowLevel(upsampled, (first, second), condition)


def _refined(refinement: nn.Module, garment: Tensor, condition: Tensor, sampling_map: Tensor) -> Tensor:
    def joined() -> Tensor:
        return torch.cat((sample(garment, sampling_map), condition), dim=1)

    features = joined()
    with remade(features, joined):
        output: Tensor = refinement(features)
    return output


def _correlation_volume(garment: Tensor, condition: Tensor, previous: Tensor | None) -> Tensor:
    """N x 49 x h x w. The map only places the features here; coarser levels learn through the composition."""
    if previous is None:
        return tk.correlation(garment, condition, radius=CORRELATION_RADIUS, negative_slope=NEGATIVE_SLOPE)
    grid = previous.detach().permute(0, 2, 3, 1)
    return tk.warp_correlation(
        garment, condition, grid, radius=CORRELATION_RADIUS, negative_slope=NEGATIVE_SLOPE, padding_mode="border"
    )
