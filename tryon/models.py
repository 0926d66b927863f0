"""Tutor and student: one pass from a person and a garment to a try-on image. They differ in what they see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from tryon.data.condition import (
    STUDENT_CONDITION_CHANNELS,
    STUDENT_GENERATOR_CHANNELS,
    condition_channels,
    student_generator_input,
    tutor_condition,
    tutor_generator_channels,
    tutor_generator_input,
)
from tryon.data.sample import Garment, Person
from tryon.networks import AppearanceFlow, Generator, WarpNetwork, compose


@dataclass(frozen=True)
class Warped:
    """A garment warped onto a person.

    Attributes:
        flow: the appearance flow and its pyramid levels.
        garment: N x 3 x H x W warped product photo (border padding).
        mask: N x 1 x H x W warped garment mask (zeros padding).
    """

    flow: AppearanceFlow
    garment: Tensor
    mask: Tensor


@dataclass(frozen=True)
class TryOnResult:
    """A person dressed.

    Attributes:
        warped: the warped garment.
        rendered: N x 3 x H x W what the generator paints, in [-1, 1].
        composition: N x 1 x H x W in [0, 1], how much of the warped garment shows.
        copied: N x 1 x H x W in [0, 1], how much of what is rendered is the photo's; None without a copy mask.
        image: N x 3 x H x W try-on image, in [-1, 1].
    """

    warped: Warped
    rendered: Tensor
    composition: Tensor
    copied: Tensor | None
    image: Tensor


class TryOnModel(nn.Module, ABC):
    """Warp network and, from stage 2 on, generator.

    Args:
        condition_channels: of the warp network's condition.
        generator_channels: of the generator's input, or None for a model without a generator yet.
        width: scales every channel count of the networks.
        copy_mask: whether the generator copies where it need not paint.
    """

    role: str

    def __init__(self, condition_channels: int, generator_channels: int | None, width: float, copy_mask: bool) -> None:
        super().__init__()
        self.width = width
        self.warp = WarpNetwork(condition_channels, width)
        self.generator = (
            None if generator_channels is None else Generator(generator_channels, width, copy_mask=copy_mask)
        )

    @abstractmethod
    def condition(self, person: Person) -> Tensor:
        """What the warp network sees of the person."""

    @abstractmethod
    def generator_input(self, person: Person, warped: Warped, region: Tensor | None) -> Tensor:
        """What the generator sees; `region` as in `forward`."""

    def condition_features(self, person: Person) -> tuple[Tensor, ...]:
        """The condition's feature pyramid; computed once, it serves any number of garments."""
        return self.warp.condition_features(self.condition(person))

    def warp_garment(self, features: tuple[Tensor, ...], garment: Garment) -> Warped:
        """Warp a batch of garments onto the people of `condition_features`."""
        flow = self.warp.estimate_flow(garment.image, features)
        return Warped(flow, flow.warp(garment.image), flow.warp(garment.mask, padding_mode="zeros"))

    def render(self, person: Person, warped: Warped, region: Tensor | None = None) -> TryOnResult:
        """Render a batch of people around their warped garments; arguments as in `forward`."""
        if self.generator is None:
            raise ValueError(f"{self.role}: has no generator, wanted a model of stage 2 (tutor) or 4 (student)")
        rendered, mask, copied = self.generator(self.generator_input(person, warped, region))
        image, composition = compose(warped.garment, warped.mask, rendered, mask, region)
        return TryOnResult(warped, rendered, composition, copied, image)

    def forward(self, person: Person, garment: Garment, region: Tensor | None = None) -> TryOnResult:
        """Dress a batch of people.

        Args:
            person: a batch.
            garment: a batch of the same length.
            region: N x 1 x H x W garment region of the photo; given only while training on a real pair. The warped
                garment must not show outside it, and what the tutor's generator sees of the arms is outside it; in
                other cases that is outside the warped mask.
        """
        return self.render(person, self.warp_garment(self.condition_features(person), garment), region)


class Tutor(TryOnModel):
    """Parser-based: sees parsing and pose, and DensePose where the data has it.

    With `keep_background` its generator also sees the background that no garment will cover.
    """

    role = "tutor"

    def __init__(
        self,
        *,
        width: float,
        densepose: bool,
        generator: bool,
        copy_mask: bool = False,
        keep_background: bool = False,
    ) -> None:
        super().__init__(
            condition_channels(densepose=densepose),
            tutor_generator_channels(densepose=densepose) if generator else None,
            width,
            copy_mask,
        )
        self.keep_background = keep_background

    def condition(self, person: Person) -> Tensor:
        """Parsing, DensePose and pose channels."""
        return tutor_condition(person)

    def generator_input(self, person: Person, warped: Warped, region: Tensor | None) -> Tensor:
        """Preserved region, warped garment and mask, arms."""
        return tutor_generator_input(person, warped.garment, warped.mask, region, keep_background=self.keep_background)


class Student(TryOnModel):
    """Parser-free: sees only the photo."""

    role = "student"

    def __init__(self, *, width: float, generator: bool, copy_mask: bool = False) -> None:
        generator_channels = STUDENT_GENERATOR_CHANNELS if generator else None
        super().__init__(STUDENT_CONDITION_CHANNELS, generator_channels, width, copy_mask)

    def condition(self, person: Person) -> Tensor:
        """The photo."""
        return person.photo

    def generator_input(self, person: Person, warped: Warped, region: Tensor | None) -> Tensor:
        """The photo, warped garment and mask."""
        return student_generator_input(person.photo, warped.garment, warped.mask)
