"""What a training stage is. A stage says only what differs; the engine runs them all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from tryon.data.fakes import Fakes
from tryon.data.sample import Garment, Person, Sample
from tryon.errors import InputError
from tryon.losses import PerceptualLoss, warp_loss
from tryon.models import TryOnModel, Tutor, Warped
from tryon.stages.guidance import PUBLISHED
from tryon.weights import ModelRecord, load_model

FINE_TUNED_WARP_RATE = 0.2  # stages that train the generator: learning rate of the warp network beside it


@dataclass(frozen=True)
class Recipe:
    """What a stage needs to know to be built.

    Attributes:
        init: run folder with the earlier stages' models.
        size: (height, width) of the images.
        width: channel scale of the networks.
        densepose: whether the data has DensePose.
        label_scheme: the data's parsing scheme.
        keep_background: whether the tutor's generator sees the background that stays.
        copy_mask: whether the generators copy where they need not paint.
        guidance: what guides the student, one of `GUIDANCE`.
        generator_from_tutor: whether the student's generator starts from the tutor's.
        fakes: pictures that the student learns from in the tutor's place.
        without_tutor: whether, with such pictures, there is no tutor for the student's warp network to start from.
    """

    init: Path
    size: tuple[int, int]
    width: float
    densepose: bool
    label_scheme: str
    keep_background: bool = False
    copy_mask: bool = False
    guidance: str = PUBLISHED
    generator_from_tutor: bool = False
    fakes: Fakes | None = None
    without_tutor: bool = False


@dataclass(frozen=True)
class StepResult:
    """One step: loss terms that add up to the loss, and what to show.

    Attributes:
        losses: scalars by name, already weighted.
        pictures: N x 3 x H x W images in [-1, 1] by column title.
    """

    losses: dict[str, Tensor]
    pictures: dict[str, Tensor]


class Stage(ABC, nn.Module):
    """A training stage: the model it trains, and its losses.

    Attributes:
        name: as on the command line and in run folders.
        epochs: published number; the first half at a constant learning rate, the second with linear decay to 0.
        learning_rate: published value.
        model: what is trained and saved.
    """

    name: ClassVar[str]
    epochs: ClassVar[int]
    learning_rate: ClassVar[float]

    model: TryOnModel

    def __init__(self, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        super().__init__()
        self.recipe = recipe
        self.perceptual = perceptual

    @abstractmethod
    def step(self, sample: Sample, second_half: bool) -> StepResult:
        """Losses of one batch."""

    def freeze(self, dtype: torch.dtype | None) -> None:
        """Make fast what never learns, for good, with its convolutions in `dtype`, by default the one they have.

        Called when the stage lies where it trains: what is frozen can be neither moved nor saved.
        """
        self.perceptual.freeze(dtype)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, object]]:
        """Optimiser groups. Where a generator is trained, the warp network learns five times slower."""
        warp: dict[str, object] = {"params": list(self.model.warp.parameters()), "lr": learning_rate}
        if self.model.generator is None:
            return [warp]
        warp["lr"] = FINE_TUNED_WARP_RATE * learning_rate
        return [warp, {"params": list(self.model.generator.parameters()), "lr": learning_rate}]

    def start_half(self, second_half: bool) -> None:
        """Set what trains in the first and in the second half. By default everything trains all the time."""
        self.model.train()

    def record(self, step: int) -> ModelRecord:
        """The model record to save beside the weights."""
        recipe, is_tutor, paints = self.recipe, self.model.role == "tutor", self.model.generator is not None
        return ModelRecord(
            role=self.model.role,
            width=recipe.width,
            size=recipe.size,
            densepose=recipe.densepose and is_tutor,
            generator=paints,
            label_scheme=recipe.label_scheme,
            perceptual=self.perceptual.source,
            stage=self.name,
            step=step,
            keep_background=recipe.keep_background and is_tutor and paints,
            copy_mask=recipe.copy_mask and paints,
        )


def load_earlier(recipe: Recipe, stage: str) -> TryOnModel:
    """Model of an earlier stage from the init folder. InputError where it is missing or does not fit the recipe."""
    folder = recipe.init / stage
    model, record = load_model(folder)
    if record.width != recipe.width:
        raise InputError(f"{folder}: found a model of width {record.width:g}, wanted {recipe.width:g}")
    if isinstance(model, Tutor) and record.densepose != recipe.densepose:
        found, wanted = (("with" if flag else "without") for flag in (record.densepose, recipe.densepose))
        raise InputError(f"{folder}: found a tutor trained {found} DensePose, wanted one {wanted} as the data is")
    if record.label_scheme != recipe.label_scheme:
        raise InputError(
            f"{folder}: found a model of {record.label_scheme} labels, wanted {recipe.label_scheme} as the data has"
        )
    for option in ("keep_background", "copy_mask") if record.generator else ():
        trained, asked = getattr(record, option), getattr(recipe, option)
        if trained != asked:
            found, wanted = (("with" if flag else "without") for flag in (trained, asked))
            raise InputError(
                f"{folder}: found a {record.role} trained {found} --{option.replace('_', '-')},"
                f" wanted one {wanted} as was asked for"
            )
    return model


def target_garment(person: Person) -> tuple[Tensor, Tensor]:
    """The photo's garment, masked by its region, and the region: the warp network's targets."""
    if person.regions is None:
        raise ValueError("person: found no parsing, wanted one: the garment region is the warp's target")
    return person.photo * person.regions.garment, person.regions.garment


def warp_terms(warped: Warped, garment: Garment, person: Person, perceptual: PerceptualLoss) -> dict[str, Tensor]:
    """Warp losses of a garment worn by its person."""
    target, region = target_garment(person)
    return warp_loss(warped.flow, garment.image, garment.mask, target, region, perceptual)


def scaled(terms: dict[str, Tensor], factor: float, prefix: str) -> dict[str, Tensor]:
    """Loss terms times a factor, under a prefix."""
    return {f"{prefix}_{name}": factor * term for name, term in terms.items()}
