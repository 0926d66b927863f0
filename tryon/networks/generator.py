"""The generator: renders the person around the warped garment."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tryon.networks.blocks import (
    PostActivationBlock,
    at_least_float32,
    checked_and_padded,
    convolution,
    scaled_channels,
)
from tryon.networks.remade import remade

GENERATOR_CHANNELS = (64, 128, 256, 512, 512)
RENDERED_CHANNELS = 3
OUTPUT_CHANNELS = RENDERED_CHANNELS + 1
FIRST_LAYER = "down.0.0.weight"


class Rendering(NamedTuple):
    """What a generator paints.

    Attributes:
        image: N x 3 x H x W in [-1, 1].
        composition: N x 1 x H x W in [0, 1], how much of the warped garment shows.
        copied: N x 1 x H x W in [0, 1], how much of the image is the first three inputs; None without a copy mask.
    """

    image: Tensor
    composition: Tensor
    copied: Tensor | None


class Generator(nn.Module):
    """Residual U-Net with five down and five up steps and skip connections by concatenation.

    `in_channels` is all that differs between tutor (8) and student (7). `width` scales the channels of every inner
    layer; 1 is the published size. `copy_mask`, which the published one does not have, is one more output channel: how
    much of the image is a copy of the input's first three.
    """

    def __init__(self, in_channels: int, width: float = 1.0, *, copy_mask: bool = False) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.copy_mask = copy_mask
        channels = [scaled_channels(count, width) for count in GENERATOR_CHANNELS]
        innermost = len(channels) - 1
        self.down = nn.ModuleList(
            _down_step(before, after, normalised=0 < depth < innermost)
            for depth, (before, after) in enumerate(zip([in_channels, *channels], channels, strict=False))
        )
        self.up = nn.ModuleList([_up_step(channels[innermost], channels[innermost - 1])])
        for depth in range(innermost - 1, 0, -1):
            self.up.append(_up_step(2 * channels[depth], channels[depth - 1]))
        self.up.append(_UpStep(_upsampling(), convolution(2 * channels[0], OUTPUT_CHANNELS + copy_mask)))

    def start_from(self, other: Generator) -> None:
        """Take another generator's weights; of its first layer, those of as many inputs as there are here."""
        weights = other.state_dict()
        weights[FIRST_LAYER] = weights[FIRST_LAYER][:, : self.in_channels]
        self.load_state_dict(weights)

    def forward(self, inputs: Tensor) -> Rendering:
        """N x in_channels x H x W, any H, W >= 1, to the rendered image and its masks.

        The input is padded with zeros at the bottom and right to multiples of 32, at least 64, and the result cropped
        back.
        Raises InputError on a wrong shape.
        """
        height, width = inputs.shape[-2:]
        features = checked_and_padded("inputs", inputs, self.in_channels)
        skips: list[Tensor] = []
        for down in self.down:
            features = down(features)
            skips.append(features)
        features = self.up[0](skips.pop())
        for up in self.up[1:]:
            features = up(torch.cat((skips.pop(), features), dim=1))
        # Numbers that lie together: otherwise functions of single ones are ten times slower.
        output = at_least_float32(features[:, :, :height, :width]).contiguous(memory_format=torch.contiguous_format)
        painted, masks = output[:, :RENDERED_CHANNELS].tanh(), output[:, RENDERED_CHANNELS:].sigmoid()
        if not self.copy_mask:
            return Rendering(painted, masks, None)
        composition, copied = masks.split(1, dim=1)
        return Rendering(painted + copied * (inputs[:, :RENDERED_CHANNELS] - painted), composition, copied)


def compose(
    warped: Tensor,
    warped_mask: Tensor,
    rendered: Tensor,
    composition_mask: Tensor,
    region: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Lay the warped garment over the rendered image: (warped * m + rendered * (1 - m), m).

    Images N x 3 x H x W, masks N x 1 x H x W; m = composition mask * warped garment mask, and while
    training on a real pair also * `region`, the garment's region in the photo.
    """
    mask = composition_mask * warped_mask
    if region is not None:
        mask = mask * region
    return warped * mask + rendered * (1 - mask), mask


class _UpStep(nn.Sequential):
    """Upsampling, a convolution, and what follows. What is upsampled is not kept: it has four times the pixels."""

    def forward(self, features: Tensor) -> Tensor:
        upsampling, convolution, *others = self
        upsampled = upsampling(features)
        with remade(upsampled, partial(upsampling, features)):
            output: Tensor = convolution(upsampled)
        for layer in others:
            output = layer(output)
        return output


def _upsampling() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="nearest")


def _residual_pair(channels: int) -> tuple[nn.Module, nn.Module]:
    return PostActivationBlock(channels), PostActivationBlock(channels)


def _down_step(in_channels: int, out_channels: int, *, normalised: bool) -> nn.Sequential:
    norm = [nn.BatchNorm2d(out_channels)] if normalised else []
    halving = convolution(in_channels, out_channels, stride=2)
    return nn.Sequential(halving, *norm, nn.ReLU(inplace=True), *_residual_pair(out_channels))


def _up_step(in_channels: int, out_channels: int) -> _UpStep:
    return _UpStep(
        _upsampling(),
        convolution(in_channels, out_channels),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        *_residual_pair(out_channels),
    )
