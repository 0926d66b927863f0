"""Human-parsing label schemes and the regions of a person that the networks need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

BACKGROUND = frozenset({0})  # of every scheme; the neck too, in the published VITON labels
DENSEPOSE_PARTS = 25  # part index 0 (background) .. 24
DENSEPOSE_HANDS = (3, 4)
DENSEPOSE_ARMS = tuple(range(15, 23))


@dataclass(frozen=True)
class LabelScheme:
    """Which label values of a parsing map mean what.

    Attributes:
        name: short name, as recorded in runs.
        highest: largest valid label; every value from 0 (background) to it is valid.
        garment: the garment that is exchanged.
        face: face, hair and what is worn there; always preserved.
        other_clothes: clothes (and bare legs) that are preserved.
        arms: bare arms; drawn anew except for the hands.
    """

    name: str
    highest: int
    garment: frozenset[int]
    face: frozenset[int]
    other_clothes: frozenset[int]
    arms: frozenset[int]


VITON = LabelScheme(
    name="viton",
    highest=13,
    garment=frozenset({4, 7}),
    face=frozenset({1, 12}),
    other_clothes=frozenset({5, 6, 8, 9, 10}),
    arms=frozenset({11, 13}),
)

LIP = LabelScheme(
    name="lip",
    highest=19,
    garment=frozenset({5, 6, 7}),
    face=frozenset({1, 2, 4, 13}),
    # 10 is a jumpsuit in LIP, but the neck in the try-on sets that use LIP: it belongs to no region.
    other_clothes=frozenset({3, 8, 9, 11, 12, 16, 17, 18, 19}),
    arms=frozenset({14, 15}),
)

# What SCHP trained on ATR gives, as in Dress Code: 1 hat, 2 hair, 3 sunglasses, 4 upper clothes, 5 skirt, 6 trousers,
# 7 dress, 8 belt, 9 and 10 shoes, 11 face, 12 and 13 legs, 14 and 15 arms, 16 bag, 17 scarf. The neck is background.
ATR = LabelScheme(
    name="atr",
    highest=17,
    garment=frozenset({4, 7}),
    face=frozenset({1, 2, 3, 11}),
    other_clothes=frozenset({5, 6, 8, 9, 10, 12, 13, 16, 17}),
    arms=frozenset({14, 15}),
)
# Where skirts and trousers are exchanged, arms stay and bare legs are drawn anew.
ATR_LOWER = replace(
    ATR,
    garment=frozenset({5, 6}),
    other_clothes=frozenset({4, 7, 8, 9, 10, 14, 15, 16, 17}),
    arms=frozenset(),
)
# A dress uncovers arms and legs.
ATR_DRESSES = replace(ATR, garment=frozenset({7}), other_clothes=frozenset({4, 5, 6, 8, 9, 10, 16, 17}))


@dataclass(frozen=True)
class Regions:
    """Masks of one parsed person: each 1 x H x W float32, 1 inside and 0 outside (N x 1 x H x W in a batch)."""

    garment: Tensor
    face: Tensor
    other_clothes: Tensor
    arms: Tensor
    background: Tensor


def regions_of(parsing: Tensor, scheme: LabelScheme) -> Regions:
    """Split a parsing map (H x W, integer labels of ``scheme``) into the regions of a person."""

    def mask(labels: frozenset[int]) -> Tensor:
        return torch.isin(parsing, torch.tensor(sorted(labels), dtype=parsing.dtype)).float().unsqueeze(0)

    return Regions(
        garment=mask(scheme.garment),
        face=mask(scheme.face),
        other_clothes=mask(scheme.other_clothes),
        arms=mask(scheme.arms),
        background=mask(BACKGROUND),
    )
