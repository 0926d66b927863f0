"""The published networks; a published checkpoint is their state dict."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ENCODER_CHANNELS = (64, 128, 256, 256, 256)
PYRAMID_CHANNELS = 256
OFFSET_CHANNELS = (128, 64, 32)
GENERATOR_CHANNELS = (64, 128, 256, 512, 512)
RADIUS = 3
SLOPE = 0.1
ALIGN_CORNERS = True


@dataclass(frozen=True)
class Level:
    """One level (h x w) of the flow: its map after the upsampling (2h x 2w), both offsets, the condition's features."""

    sampling_map: Tensor
    offsets: tuple[Tensor, Tensor]
    condition: Tensor


def scaled(channels: int, width: float) -> int:
    """Channels of a network of this width."""
    return max(1, round(channels * width))


def conv(in_channels: int, out_channels: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A 3 x 3 convolution."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=bias)


def sample(image: Tensor, sampling_map: Tensor, padding_mode: str = "border") -> Tensor:
    """`image` at the positions of a sampling map."""
    grid = sampling_map.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, "bilinear", padding_mode, align_corners=ALIGN_CORNERS)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Mean over channels of first at p times second at p + d, for |dx|, |dy| <= 3 in rows of dx, zeros outside."""
    height, width = first.shape[2:]
    side = 2 * RADIUS + 1
    padded = F.pad(second, (RADIUS, RADIUS, RADIUS, RADIUS))
    shifted = (padded[:, :, dy : dy + height, dx : dx + width] for dy in range(side) for dx in range(side))
    return torch.stack([(first * other).mean(1) for other in shifted], 1)


def compose(sampling_map: Tensor | None, offset: Tensor) -> Tensor:
    """The map at p + offset(p), or that position itself without a map. Offsets are in pixels."""
    height, width = offset.shape[2:]
    rows = torch.arange(height, dtype=offset.dtype, device=offset.device)
    columns = torch.arange(width, dtype=offset.dtype, device=offset.device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    x = (x + offset[:, 0]) / ((width - 1) / 2) - 1
    y = (y + offset[:, 1]) / ((height - 1) / 2) - 1
    moved = torch.stack((x, y), 1)
    return moved if sampling_map is None else sample(sampling_map, moved)


class DownSample(nn.Module):
    """The first block of an encoder's stage."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True), conv(in_channels, out_channels, stride=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Half the size."""
        return self.block(x)


class PreActivation(nn.Module):
    """A residual block of an encoder."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        halves = [(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), conv(channels, channels)) for _ in range(2)]
        self.block = nn.Sequential(*halves[0], *halves[1])

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x + self.block(x)


class FeatureEncoder(nn.Module):
    """Five stages, each of half the size."""

    def __init__(self, in_channels: int, width: float) -> None:
        super().__init__()
        self.encoders = nn.ModuleList()
        for count in ENCODER_CHANNELS:
            channels = scaled(count, width)
            blocks = DownSample(in_channels, channels), PreActivation(channels), PreActivation(channels)
            self.encoders.append(nn.Sequential(*blocks))
            in_channels = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of all stages, fine to coarse."""
        features = []
        for encoder in self.encoders:
            x = encoder(x)
            features.append(x)
        return features


class FeaturePyramid(nn.Module):
    """Coarse features carried to the finer levels."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = scaled(PYRAMID_CHANNELS, width)
        self.adaptive = nn.ModuleList(nn.Conv2d(scaled(n, width), channels, 1) for n in reversed(ENCODER_CHANNELS))
        self.smooth = nn.ModuleList(conv(channels, channels, bias=True) for _ in ENCODER_CHANNELS)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """All levels, coarse to fine."""
        levels: list[Tensor] = []
        for adaptive, smooth, feature in zip(self.adaptive, self.smooth, reversed(features), strict=True):
            level = adaptive(feature)
            if levels:
                level = level + F.interpolate(levels[-1], scale_factor=2, mode="nearest")
            levels.append(smooth(level))
        return levels


def _offset_convolutions(in_channels: int, width: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (scaled(count, width) for count in OFFSET_CHANNELS):
        layers += [conv(in_channels, channels, bias=True), nn.LeakyReLU(SLOPE, inplace=True)]
        in_channels = channels
    return nn.Sequential(*layers, conv(in_channels, 2, bias=True))


class FlowNetwork(nn.Module):
    """Two offsets a level: one from the correlation, one from the warped features."""

    def __init__(self, width: float) -> None:
        super().__init__()
        features = 2 * scaled(PYRAMID_CHANNELS, width)
        self.netMain = nn.ModuleList(_offset_convolutions((2 * RADIUS + 1) ** 2, width) for _ in ENCODER_CHANNELS)
        self.netRefine = nn.ModuleList(_offset_convolutions(features, width) for _ in ENCODER_CHANNELS)

    def forward(self, garments: list[Tensor], conditions: list[Tensor]) -> list[Level]:
        """Two pyramids to the levels of the flow, coarse to fine."""
        levels: list[Level] = []
        for main, refine, garment, condition in zip(self.netMain, self.netRefine, garments, conditions, strict=True):
            previous = levels[-1].sampling_map if levels else None
            warped = garment if previous is None else sample(garment, previous.detach())
            first = main(F.leaky_relu(correlation(warped, condition), SLOPE))
            sampling_map = compose(previous, first)
            second = refine(torch.cat((sample(garment, sampling_map), condition), 1))
            sampling_map = compose(sampling_map, second)
            upsampled = F.interpolate(sampling_map, scale_factor=2, mode="bilinear", align_corners=False)
            levels.append(Level(upsampled, (first, second), condition))
        return levels


class WarpNetwork(nn.Module):
    """From a garment and a condition to the levels of the flow; sides are multiples of 32, at least 64."""

    def __init__(self, condition_channels: int, width: float) -> None:
        super().__init__()
        self.image_features = FeatureEncoder(3, width)
        self.cond_features = FeatureEncoder(condition_channels, width)
        self.image_FPN = FeaturePyramid(width)
        self.cond_FPN = FeaturePyramid(width)
        self.aflow_net = FlowNetwork(width)

    def forward(self, garment: Tensor, condition: Tensor) -> list[Level]:
        """N x 3 x H x W and N x C x H x W to five levels, the last map of size H x W."""
        garments = self.image_FPN(self.image_features(garment))
        return self.aflow_net(garments, self.cond_FPN(self.cond_features(condition)))


class PostActivation(nn.Module):
    """A residual block of the generator."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            conv(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            conv(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return F.relu(x + self.block(x))


class UNetStep(nn.Module):
    """A step down, everything deeper, and the step up again; but for the outermost, beside the step's own input."""

    def __init__(self, depth: int, in_channels: int, channels: list[int], out_channels: int) -> None:
        super().__init__()
        self.is_outermost, is_innermost = depth == 0, depth == len(channels) - 1
        count = channels[depth]
        layers: list[nn.Module] = [conv(in_channels, count, stride=2)]
        if not (self.is_outermost or is_innermost):
            layers.append(nn.BatchNorm2d(count))
        layers += [nn.ReLU(inplace=True), PostActivation(count), PostActivation(count)]
        if not is_innermost:
            layers.append(UNetStep(depth + 1, count, channels, count))
            count *= 2
        layers += [nn.Upsample(scale_factor=2, mode="nearest"), conv(count, out_channels)]
        if not self.is_outermost:
            layers += [nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
            layers += [PostActivation(out_channels), PostActivation(out_channels)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The size of x."""
        return self.model(x) if self.is_outermost else torch.cat((x, self.model(x)), 1)


class Generator(nn.Module):
    """The residual U-Net: N x C x H x W, sides multiples of 32, to four channels before tanh and sigmoid."""

    def __init__(self, in_channels: int, width: float) -> None:
        super().__init__()
        self.model = UNetStep(0, in_channels, [scaled(count, width) for count in GENERATOR_CHANNELS], 4)

    def forward(self, x: Tensor) -> Tensor:
        """N x 4 x H x W."""
        return self.model(x)
