"""The published losses, each term by a name of its own and weighted: their sum is the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain.networks import Level, sample, scaled

Terms = dict[str, Tensor]

VGG_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))  # channels and convolutions, up to relu5_1
VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
STENCILS = (
    ((0, 0, 0), (1, -2, 1), (0, 0, 0)),
    ((0, 1, 0), (0, -2, 0), (0, 1, 0)),
    ((1, 0, 0), (0, -2, 0), (0, 0, 1)),
    ((0, 0, 1), (0, -2, 0), (1, 0, 0)),
)


class PerceptualLoss(nn.Module):
    """L1 of VGG-19's features at the first ReLU of each stage; layers are numbered as in torchvision's `features`."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.compared: list[int] = []
        in_channels = 3
        for channels, convolutions in VGG_STAGES:
            if self.compared:
                self.features.append(nn.MaxPool2d(2))
            self.compared.append(len(self.features) + 1)
            for _ in range(convolutions):
                self.features.append(nn.Conv2d(in_channels, scaled(channels, width), 3, padding=1))
                self.features.append(nn.ReLU(inplace=True))
                in_channels = scaled(channels, width)
        self.requires_grad_(False)

    def vgg(self, x: Tensor) -> list[Tensor]:
        """The compared features. A pooling window that a side of one pixel cuts off is clipped."""
        features = []
        for number, layer in enumerate(self.features):
            if isinstance(layer, nn.MaxPool2d):
                x = F.max_pool2d(x, [min(2, side) for side in x.shape[2:]], 2)
            else:
                x = layer(x)
            if number in self.compared:
                features.append(x)
        return features

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """0-d."""
        pairs = zip(VGG_WEIGHTS, self.vgg(image), self.vgg(target), strict=True)
        return sum(weight * F.l1_loss(one, other.detach()) for weight, one, other in pairs)


def smoothness(sampling_map: Tensor) -> Tensor:
    """Second-order smoothness: (d^2 + 0.001^2)^0.45 of four three-point stencils, means of x and of y added."""
    stencils = sampling_map.new_tensor(STENCILS)[:, None]
    bends = [F.conv2d(axis, stencils) for axis in sampling_map.split(1, 1)]
    return sum((bend**2 + 0.001**2).pow(0.45).mean() for bend in bends)


def total_variation(offset: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, along columns and along rows."""
    down = offset[:, :, 1:] - offset[:, :, :-1]
    right = offset[:, :, :, 1:] - offset[:, :, :, :-1]
    return down.abs().mean() + right.abs().mean()


def warp_loss(
    levels: Sequence[Level], garment: Tensor, mask: Tensor, photo: Tensor, region: Tensor, perceptual: PerceptualLoss
) -> Terms:
    """Of a garment and its mask warped onto the photo's garment, which is in `region`, at every level."""
    terms: Terms = {}
    for k, level in enumerate(levels):
        size = level.sampling_map.shape[2:]
        pictures = garment, mask, photo * region, region
        resized = [F.interpolate(picture, size=size, mode="bilinear", align_corners=False) for picture in pictures]
        warped, warped_mask = sample(resized[0], level.sampling_map), sample(resized[1], level.sampling_map, "zeros")
        of_level = {
            "l1": (k + 1) * F.l1_loss(warped, resized[2]),
            "perceptual": 0.2 * (k + 1) * perceptual(warped, resized[2]),
            "mask": 2 * (k + 1) * F.l1_loss(warped_mask, resized[3]),
            "smoothness": 6 * (k + 1) * smoothness(level.sampling_map),
            "variation": 0.01 * (total_variation(level.offsets[0]) + total_variation(level.offsets[1])),
        }
        terms = {name: terms[name] + term if k else term for name, term in of_level.items()}
    return terms


def distillation_loss(student: Sequence[Level], tutor: Sequence[Level], better: Tensor) -> Terms:
    """How far the student's features and flows are from the tutor's, over the samples where `better` (N) is 1."""
    count = better.sum().clamp(min=1)
    features, flow = [], []
    for k, (own, other) in enumerate(zip(student, tutor, strict=True)):
        squares = ((own.condition - other.condition) ** 2).mean((1, 2, 3))
        features.append(0.04 * (5 - k) * (squares * better).sum() / count)
        if k >= 2:
            distances = torch.norm(own.sampling_map - other.sampling_map, dim=1).mean((1, 2))
            flow.append((k + 1) * (distances * better).sum() / count)
    return {"distilled_features": sum(features), "distilled_flow": sum(flow)}


def better_tutor(tutor_warped: Tensor, student_warped: Tensor, target: Tensor) -> Tensor:
    """N: 1 where the tutor's warped garment is nearer to the photo's than the student's, else 0."""
    errors = [(warped.detach() - target).abs().mean((1, 2, 3)) for warped in (tutor_warped, student_warped)]
    return (errors[0] < errors[1]).to(target.dtype)


def generator_loss(
    image: Tensor, rendered: Tensor, composition: Tensor, photo: Tensor, perceptual: PerceptualLoss
) -> Terms:
    """Of the try-on image, of what is rendered, and of the mask that composes them."""
    return {
        "l1": 5 * F.l1_loss(image, photo),
        "perceptual": perceptual(image, photo),
        "rendered_l1": 5 * F.l1_loss(rendered, photo),
        "rendered_perceptual": perceptual(rendered, photo),
        "mask": (1 - composition).abs().mean(),
    }


def skin_loss(rendered: Tensor, photo: Tensor, skin: Tensor, perceptual: PerceptualLoss, second_half: bool) -> Terms:
    """Of what is rendered where the real garment uncovers what the tutor's has covered; doubled in the second half."""
    l1_weight, perceptual_weight = (60, 4) if second_half else (30, 2)
    return {
        "skin_l1": l1_weight * F.l1_loss(rendered * skin, photo * skin),
        "skin_perceptual": perceptual_weight * perceptual(rendered * skin, photo * skin),
    }


def weighted(terms: Mapping[str, Tensor], weight: float, prefix: str) -> Terms:
    """Terms times a weight, under a prefix."""
    return {f"{prefix}_{name}": weight * term for name, term in terms.items()}
