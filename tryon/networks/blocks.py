"""Convolution blocks and the rules on channels, sizes and precision that the networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tryon.errors import InputError

SIZE_MULTIPLE = 32
"""Five halvings: both sides of what a network sees are multiples of this."""

SMALLEST_SIDE = 2 * SIZE_MULTIPLE
"""Keeps the coarsest level at 2 x 2: on a single pixel neither a sampling map nor batch statistics mean anything."""


def scaled_channels(channels: int, width: float) -> int:
    """`channels` times the network's width, at least one."""
    return max(1, round(channels * width))


def padded_size(height: int, width: int) -> tuple[int, int]:
    """The size at which the networks work on a picture of height x width."""
    sides = (max(SMALLEST_SIDE, -(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE) for side in (height, width))
    return next(sides), next(sides)


def pad_to(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Extend N x C x H x W at the bottom and right to `size` = (height, width) with zeros.

    Zero is the background of a garment image, "not this label" in a mask and mid grey in a photo, so one rule suits
    every input; repeating the border would grow masks.
    """
    height, width = image.shape[-2:]
    if (height, width) == size:
        return image
    return F.pad(image, (0, size[1] - width, 0, size[0] - height))


def checked_and_padded(name: str, image: Tensor, channels: int) -> Tensor:
    """`image`, padded to the networks' size; raises InputError unless it is N x `channels` x H x W, H, W >= 1."""
    if image.ndim != 4 or image.shape[1] != channels or 0 in image.shape[2:]:
        raise InputError(f"{name} must be N x {channels} x H x W with H, W >= 1; got {tuple(image.shape)}")
    return pad_to(image, padded_size(*image.shape[-2:]))


def at_least_float32(tensor: Tensor) -> Tensor:
    """Raise half precision to float32: positions in pixels and finished pictures need more than 8 or 11 bits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def convolution(in_channels: int, out_channels: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size at stride 1 and halves even sizes at stride 2."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=bias)


class PreActivationBlock(nn.Module):
    """BN, ReLU, convolution, BN, ReLU, convolution, plus identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            convolution(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            convolution(channels, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """N x C x H x W to the same shape."""
        return features + self.body(features)


class PostActivationBlock(nn.Module):
    """Convolution, BN, ReLU, convolution, BN, plus identity, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            convolution(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """N x C x H x W to the same shape."""
        return F.relu(features + self.body(features))
