"""The four published training stages: what is trained, by which losses, and a step of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.plain.losses import (
    PerceptualLoss,
    Terms,
    better_tutor,
    distillation_loss,
    generator_loss,
    skin_loss,
    warp_loss,
    weighted,
)
from benchmarks.plain.networks import Generator, WarpNetwork
from benchmarks.plain.people import (
    STUDENT_CONDITION,
    STUDENT_INPUT,
    TUTOR_CONDITION,
    TUTOR_INPUT,
    Warped,
    dress,
    student_input,
    tutor_condition,
    tutor_input,
    warp,
)
from tryon.data.sample import Sample

Groups = list[dict[str, Any]]


class TutorWarp(nn.Module):
    """Stage 1: the tutor's warp network."""

    def __init__(self, width: float, perceptual: PerceptualLoss) -> None:
        super().__init__()
        self.warp = WarpNetwork(TUTOR_CONDITION, width)
        self.perceptual = perceptual

    def losses(self, sample: Sample, second_half: bool) -> Terms:
        """All terms; their sum is the loss."""
        warped = warp(self.warp, sample.garment, tutor_condition(sample.person))
        return weighted(_warp_terms(self.perceptual, warped, sample), 1, "warp")

    def groups(self, second_half: bool) -> Groups:
        """What the optimiser is given."""
        return [{"params": list(self.warp.parameters()), "lr": 5e-5}]


class Tutor(nn.Module):
    """Stage 2: the tutor's generator, its warp network beside it."""

    def __init__(self, width: float, perceptual: PerceptualLoss) -> None:
        super().__init__()
        self.warp = WarpNetwork(TUTOR_CONDITION, width)
        self.generator = Generator(TUTOR_INPUT, width)
        self.perceptual = perceptual

    def losses(self, sample: Sample, second_half: bool) -> Terms:
        """All terms; their sum is the loss."""
        person, photo, region = sample.person, sample.person.photo, sample.person.regions.garment
        warped = warp(self.warp, sample.garment, tutor_condition(person))
        dressed = dress(self.generator, tutor_input(person, warped, covered=region), warped, region)
        generation = generator_loss(dressed.image, dressed.rendered, dressed.composition, photo, self.perceptual)
        terms = weighted(_warp_terms(self.perceptual, warped, sample), 0.5, "warp")
        return terms | weighted(generation, 1, "generator")

    def groups(self, second_half: bool) -> Groups:
        """What the optimiser is given."""
        return _both_networks(self.warp, self.generator)


class StudentWarp(nn.Module):
    """Stage 3: the student's warp network. In the first half some of it is left out of the optimiser, no more."""

    def __init__(self, width: float, perceptual: PerceptualLoss) -> None:
        super().__init__()
        self.tutor = Tutor(width, perceptual).eval().requires_grad_(False)
        self.warp = WarpNetwork(STUDENT_CONDITION, width)
        self.perceptual = perceptual

    def losses(self, sample: Sample, second_half: bool) -> Terms:
        """All terms; their sum is the loss."""
        fake, _, tutors = _tutor_knowledge(self.tutor, sample)
        warped = warp(self.warp, sample.garment, fake)
        return weighted(_distilled_warp_terms(self.perceptual, warped, tutors, sample), 1, "warp")

    def groups(self, second_half: bool) -> Groups:
        """What the optimiser is given."""
        first = self.warp.cond_features, self.warp.cond_FPN, self.warp.aflow_net.netRefine
        parts = [self.warp] if second_half else first
        return [{"params": [parameter for part in parts for parameter in part.parameters()], "lr": 3e-5}]


class Student(nn.Module):
    """Stage 4: the student's generator, its warp network beside it."""

    def __init__(self, width: float, perceptual: PerceptualLoss) -> None:
        super().__init__()
        self.tutor = Tutor(width, perceptual).eval().requires_grad_(False)
        self.warp = WarpNetwork(STUDENT_CONDITION, width)
        self.generator = Generator(STUDENT_INPUT, width)
        self.perceptual = perceptual

    def losses(self, sample: Sample, second_half: bool) -> Terms:
        """All terms; their sum is the loss."""
        photo, region = sample.person.photo, sample.person.regions.garment
        fake, fake_mask, tutors = _tutor_knowledge(self.tutor, sample)
        warped = warp(self.warp, sample.garment, fake)
        dressed = dress(self.generator, student_input(fake, warped), warped, region)
        generation = generator_loss(dressed.image, dressed.rendered, dressed.composition, photo, self.perceptual)
        generation |= skin_loss(dressed.rendered, photo, fake_mask * (1 - region), self.perceptual, second_half)
        terms = weighted(_distilled_warp_terms(self.perceptual, warped, tutors, sample), 0.25, "warp")
        return terms | weighted(generation, 1, "generator")

    def groups(self, second_half: bool) -> Groups:
        """What the optimiser is given."""
        return _both_networks(self.warp, self.generator)


Stage = TutorWarp | Tutor | StudentWarp | Student


def optimiser_of(stage: Stage, second_half: bool) -> Adam:
    """As published; the rates are those of the first half, which the second lets fall to 0."""
    return Adam(stage.groups(second_half), betas=(0.5, 0.999))


def train_step(stage: Stage, optimiser: Adam, sample: Sample, second_half: bool) -> Terms:
    """One update of a batch; its losses."""
    losses = stage.losses(sample, second_half)
    stage.zero_grad()
    sum(losses.values()).backward()
    optimiser.step()
    return {name: loss.detach() for name, loss in losses.items()}


def _both_networks(warp_network: WarpNetwork, generator: Generator) -> Groups:
    return [
        {"params": list(warp_network.parameters()), "lr": 0.2 * 5e-5},
        {"params": list(generator.parameters()), "lr": 5e-5},
    ]


def _warp_terms(perceptual: PerceptualLoss, warped: Warped, sample: Sample) -> Terms:
    garment, person = sample.garment, sample.person
    region = person.regions.garment
    return warp_loss(warped.levels, garment.image, garment.mask, person.photo, region, perceptual)


def _distilled_warp_terms(perceptual: PerceptualLoss, warped: Warped, tutors: Warped, sample: Sample) -> Terms:
    target = sample.person.photo * sample.person.regions.garment
    better = better_tutor(tutors.garment, warped.garment, target)
    return _warp_terms(perceptual, warped, sample) | distillation_loss(warped.levels, tutors.levels, better)


@torch.no_grad()
def _tutor_knowledge(tutor: Tutor, sample: Sample) -> tuple[Tensor, Tensor, Warped]:
    """The person in the other garment, that garment's warped mask, and the tutor's warp of the person's own."""
    person, condition = sample.person, tutor_condition(sample.person)
    other = warp(tutor.warp, sample.other, condition)
    fake = dress(tutor.generator, tutor_input(person, other, covered=other.mask), other)
    return fake.image, other.mask, warp(tutor.warp, sample.garment, condition)
