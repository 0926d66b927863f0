"""Of what students may be shown, what is the same for all of it: it is theirs alone, of those who see fake images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tryon.config import TrainConfig
from tryon.data.composite import draw_blots
from tryon.data.hems import draw_hems
from tryon.data.sample import Sample
from tryon.engine import train_stage
from tryon.errors import InputError
from tryon.losses import PerceptualLoss
from tryon.stages import Recipe
from tryon.stages.student import StudentWarp

of_fakes = pytest.mark.parametrize("option", ["composite", "hems"])


@pytest.mark.parametrize(
    "drawn", [{"blots": draw_blots(2, 64, 64, seed=1, step=1)}, {"hems": torch.tensor([0.2, -0.2])}], ids=list
)
def test_a_student_that_imitates_does_not_see_it(recipe: Recipe, sample: Sample, drawn: dict[str, Tensor]) -> None:
    stage = StudentWarp(replace(recipe, guidance="imitate"), PerceptualLoss(None, recipe.width))
    plain, known = (stage.tutor_knowledge(one) for one in (sample, replace(sample, **drawn)))
    assert torch.equal(known.person.photo, plain.person.photo)
    assert torch.equal(known.target, plain.target)


@of_fakes
def test_a_student_that_imitates_is_refused_it(tiny_config: TrainConfig, option: str) -> None:
    with pytest.raises(InputError, match=f"{option}: found with guidance imitate, wanted one whose student sees fake"):
        replace(tiny_config, guidance="imitate", **{option: True})


@of_fakes
def test_a_tutors_run_is_one_run_with_and_without(tiny_config: TrainConfig, tmp_path: Path, option: str) -> None:
    train_stage("tutor-warp", replace(tiny_config, out=tmp_path))
    train_stage("tutor-warp", replace(tiny_config, out=tmp_path, resume=True, **{option: True}))


@pytest.mark.parametrize("wanted", [("composite",), ("hems",), ("composite", "hems"), ()], ids="+".join)
def test_training_shows_the_student_what_is_drawn_of_its_step_where_it_is_asked_to(
    samples_seen: Callable[..., list[Sample]], wanted: tuple[str, ...]
) -> None:
    for i, sample in enumerate(samples_seen(**dict.fromkeys(wanted, True))):
        people, step = len(sample.person.photo), divmod(i, 2)
        drawn = {"composite": draw_blots(people, 64, 64, 5, *step), "hems": draw_hems(people, 5, *step)}
        for option, found in (("composite", sample.blots), ("hems", sample.hems)):
            assert torch.equal(found, drawn[option]) if option in wanted else found is None
