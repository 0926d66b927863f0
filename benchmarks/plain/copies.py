"""Our models and stages in the plain form, with the same weights."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from benchmarks.plain import stages
from benchmarks.plain.losses import PerceptualLoss
from tryon.conversion import key_table
from tryon.losses import PerceptualLoss as OurPerceptualLoss
from tryon.models import TryOnModel
from tryon.stages import Stage
from tryon.stages.student import DistilledStage

Network = TypeVar("Network", bound=nn.Module)

PLAIN_STAGES = {
    "tutor-warp": stages.TutorWarp,
    "tutor": stages.Tutor,
    "student-warp": stages.StudentWarp,
    "student": stages.Student,
}


def copy_network(ours: nn.Module, plain: Network, kind: str) -> Network:
    """Give a plain network the weights of ours. `kind` is one of `tryon.conversion.NETWORKS`, of any width."""
    state = ours.state_dict()
    plain.load_state_dict({published: state[key] for published, key in key_table(kind).items()})
    return plain


def copy_model(ours: TryOnModel, plain: nn.Module) -> None:
    """Give the networks `warp` and, where ours has one, `generator` our weights."""
    copy_network(ours.warp, plain.warp, f"{ours.role}_warp")
    if ours.generator is not None:
        copy_network(ours.generator, plain.generator, f"{ours.role}_generator")


def plain_perceptual(ours: OurPerceptualLoss, width: float) -> PerceptualLoss:
    """The plain form of a loss that was made with this width, which counts for random features alone."""
    plain = PerceptualLoss(width if ours.source == "random" else 1.0)
    plain.features.load_state_dict(ours.convolutions.state_dict())  # the layers have the same numbers
    return plain


def plain_form(ours: Stage) -> stages.Stage:
    """The plain form of one of our stages, on the same device and in the same dtype; the data has DensePose."""
    width, weight = ours.recipe.width, next(ours.model.parameters())
    plain = PLAIN_STAGES[ours.name](width, plain_perceptual(ours.perceptual, width)).to(weight.device, weight.dtype)
    copy_model(ours.model, plain)
    if isinstance(ours, DistilledStage):
        copy_model(ours.tutor, plain.tutor)
    return plain
