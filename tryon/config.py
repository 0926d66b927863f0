"""What a training run is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tryon.data.images import Size, format_size
from tryon.errors import InputError
from tryon.networks import SIZE_MULTIPLE
from tryon.precision import LOWERED
from tryon.stages import GUIDANCE, OF_FAKES, PUBLISHED

WIDEST = 64  # here a convolution's weights are 38 GB
SEEDS = 1 << 64  # what torch takes


@dataclass(frozen=True)
class TrainConfig:
    """Options of ``tryon train``.

    Attributes:
        data: data folder with a train split.
        out: run folder; every stage writes a folder of its own below it.
        init: run folder with the earlier stages; by default ``out``.
        layout: how the data folder lies; by default as its folders say.
        size: (height, width) to train at; by default the data's. Multiples of 32.
        width: channel scale of the networks; 1 is the published size.
        epochs: passes over the data; by default the stage's published number.
        steps: optimiser steps, instead of epochs.
        batch: samples that a process takes at a time.
        accumulate: batches of a process whose gradients make a step.
        learning_rate: by default the stage's published value.
        keep_background: show the tutor's generator the background that stays.
        copy_mask: generators copy from the photo where they need not paint.
        settle_norms: batches over which the batch norms' statistics are taken anew after the last step.
        precision: "fp32", or "bf16" or, on a GPU, "fp16" for autocast (positions stay fp32).
        recompute: compute activations again in the backward instead of keeping them.
        graph: on a GPU of one process's own, replay batches from a CUDA graph.
        device: as torch names it.
        seed: of the initial parameters and the order of the data.
        workers: processes that read data; 0 reads in the training process.
        average: decay a step, above 0 and below 1, of a moving average of the weights, which is then what is saved as
            the model; by default the weights themselves are.
        generator_from_tutor: start the student's generator from the tutor's.
        guidance: what guides the student: "full" as published, or "imitate", "none", "features" or "always".
        fakes: folder of pictures that the student learns from in the tutor's place (`Fakes`).
        surroundings: show the student its people before other backgrounds and behind occluders, which it is to keep.
        composite: show the student arms and background as the photo has them, in places that no garment covers.
        hems: show the student garments that end lower or higher than those that it is to put on.
        perceptual_weights: VGG-19 weights file; without it fixed random features serve.
        picture_every: steps between pictures, each with a checkpoint.
        checkpoint_minutes: the longest time between checkpoints.
        keep: checkpoints of a stage that are kept.
        tensorboard: write losses and pictures for TensorBoard too.
        resume: go on from the last checkpoint, or from the beginning where there is none yet.
    """

    data: Path
    out: Path
    init: Path | None = None
    layout: str | None = None
    size: Size | None = None
    width: float = 1.0
    epochs: int | None = None
    steps: int | None = None
    batch: int = 4
    accumulate: int = 1
    learning_rate: float | None = None
    keep_background: bool = False
    copy_mask: bool = False
    settle_norms: int = 0
    precision: str = "fp32"
    recompute: bool = False
    graph: bool = True
    device: str = "cpu"
    seed: int = 0
    workers: int = 1
    average: float | None = None
    generator_from_tutor: bool = False
    guidance: str = PUBLISHED
    fakes: Path | None = None
    surroundings: bool = False
    composite: bool = False
    hems: bool = False
    perceptual_weights: Path | None = None
    picture_every: int = 500
    checkpoint_minutes: float = 10.0
    keep: int = 2
    tensorboard: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, before anything is read or built."""
        for name in ("epochs", "steps", "batch", "accumulate", "picture_every", "keep"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name.replace('_', ' ')}: found {value}, wanted at least 1")
        if self.epochs is not None and self.steps is not None:
            raise InputError(f"steps: found {self.steps} beside epochs {self.epochs}, wanted one of the two")
        for name in ("width", "learning_rate", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name.replace('_', ' ')}: found {value:g}, wanted a finite number above 0")
        if self.width > WIDEST:
            raise InputError(f"width: found {self.width:g}, wanted at most {WIDEST}")
        if self.average is not None and not 0 < self.average < 1:
            raise InputError(f"average: found {self.average:g}, wanted a decay above 0 and below 1")
        if not 0 <= self.seed < SEEDS:
            raise InputError(f"seed: found {self.seed}, wanted 0 to 2^64 - 1")
        for name in ("workers", "settle_norms"):
            if getattr(self, name) < 0:
                raise InputError(f"{name.replace('_', ' ')}: found {getattr(self, name)}, wanted 0 or more")
        for name, choices in (("precision", LOWERED), ("guidance", GUIDANCE)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name}: found {getattr(self, name)!r}, wanted one of {', '.join(choices)}")
        if self.fakes is not None and self.guidance not in OF_FAKES:
            raise InputError(f"guidance: found {self.guidance} with fakes, wanted one of {', '.join(OF_FAKES)}")
        for name in ("composite", "hems"):
            if getattr(self, name) and GUIDANCE[self.guidance].imitates:
                raise InputError(
                    f"{name}: found with guidance {self.guidance}, wanted one whose student sees fake images"
                )


def check_training_size(size: Size) -> None:
    """Training compares level by level, so its images must fit the pyramid without padding."""
    if any(side % SIZE_MULTIPLE or side < 2 * SIZE_MULTIPLE for side in size):
        near = tuple(max(2, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in size)
        raise InputError(
            f"size: found {format_size(size)}, wanted multiples of {SIZE_MULTIPLE}, at least {2 * SIZE_MULTIPLE},"
            f" for training; the nearest is {format_size((near[0], near[1]))}"
        )
