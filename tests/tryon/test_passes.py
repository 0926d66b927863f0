"""A batch's way as a CUDA graph. Without a GPU, what replays here is a stand-in that computes the pass again."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.one_device import META, OnOneDevice
from tests.tryon.recording import ComputedAgain, needs_gpu, without_streams
from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Garment, Person, Sample, move, stack
from tryon.engine import passes, train_stage
from tryon.engine.loop import _Run
from tryon.engine.passes import GraphedPass, Passed
from tryon.replay import WARM_UP
from tryon.stages import STAGES

CALLS = WARM_UP + 3


class Line:
    """A pass of two weights, of which one learns."""

    def __init__(self) -> None:
        self.slope, self.left = nn.Parameter(torch.tensor([2.0, 3.0])), nn.Parameter(torch.ones(2))
        self.run = 0

    def __call__(self, sample: Sample) -> Passed:
        self.run += 1
        loss = (self.slope * sample.garment.mask).sum().square()
        loss.backward()
        return Passed(("line",), loss.detach()[None], {"mask": sample.garment.mask.clone()})


def a_batch(number: int) -> Sample:
    mask = torch.tensor([float(number), 1.0])
    garment = Garment(torch.zeros(2), mask)
    return Sample(Person(torch.zeros(2), None, None, None), garment, garment)


@pytest.fixture
def graphed(monkeypatch: pytest.MonkeyPatch) -> GraphedPass:
    """A graphed pass whose recording computes again, into what it left, gradients too."""

    class PassedAgain(ComputedAgain):
        def replay(self) -> Passed:
            kept = [(weight, weight.grad) for weight in made.learning]
            for weight in made.learning:
                weight.grad = None
            passed: Passed = super().replay()
            for weight, gradient in made.gradients:
                gradient.copy_(weight.grad)
            for weight, gradient in kept:
                weight.grad = gradient
            return passed

        @staticmethod
        def made(result: Passed) -> list[Tensor]:
            return [result.terms, *result.pictures.values()]

    line = Line()
    made = GraphedPass(line, [line.slope, line.left])
    monkeypatch.setattr(passes, "Recording", PassedAgain)
    without_streams(monkeypatch)
    return made


def test_each_batch_has_its_own_losses_pictures_and_gradients(graphed: GraphedPass) -> None:
    expected = Line()
    for number in range(CALLS):
        for line in (expected, graphed.eager):
            line.slope.grad = None
        wanted, passed = expected(a_batch(number)), graphed(a_batch(number))
        assert passed.names == wanted.names
        assert torch.equal(passed.terms, wanted.terms)
        assert torch.equal(passed.pictures["mask"], wanted.pictures["mask"])
        assert torch.equal(graphed.eager.slope.grad, expected.slope.grad)
        assert graphed.eager.left.grad is None


def test_gradients_are_added_to_those_that_there_are(graphed: GraphedPass) -> None:
    expected = Line()
    for number in range(CALLS):  # the capture is among batches of one step, and between steps
        if number % 2 == 0:
            for line in (expected, graphed.eager):
                line.slope.grad = None
        expected(a_batch(number))
        graphed(a_batch(number))
        assert torch.equal(graphed.eager.slope.grad, expected.slope.grad)


def test_a_batch_is_not_changed_by_those_after_it(graphed: GraphedPass) -> None:
    batches = [a_batch(number) for number in range(CALLS)]
    for number, batch in enumerate(batches[: WARM_UP + 1]):
        graphed(batch)
        assert batch.garment.mask[0] == number
    for batch in batches[WARM_UP + 1 :]:
        graphed(batch)
    assert [float(batch.garment.mask[0]) for batch in batches[WARM_UP + 1 :]] == [WARM_UP + 1, WARM_UP + 2]


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("student", {}),
        *(pytest.param(stage, {}, marks=pytest.mark.more) for stage in STAGES if stage != "student"),
        pytest.param("tutor", {"keep_background": True, "copy_mask": True}, marks=pytest.mark.more),
        pytest.param("student", {"recompute": True}, marks=pytest.mark.more),
        pytest.param("student-warp", {"surroundings": True, "composite": True, "hems": True}, marks=pytest.mark.more),
    ],
    ids=str,
)
def test_no_stage_waits_for_the_gpu_on_a_batchs_way(
    stage: str,
    options: dict[str, bool],
    tiny_config: TrainConfig,
    tiny_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = TryOnFolder(tiny_config.data, "train")
    run = _Run(stage, replace(tiny_config, out=tiny_run, **options), data)
    run.stage.to(META)
    run.stage.freeze(None)
    run._start_half(True)
    sample = stack([data.read_sample(data.people[i], data.people[i + 1]) for i in range(2)])
    batch = move(run._varied(sample, 0), META)
    monkeypatch.setattr(torch, "tensor", None)  # makes a table of the host's, whatever the device
    with OnOneDevice():
        passed = run.passing(batch)
    assert passed.terms.device == META
    assert all(weight.grad is not None for weight in run.stage.model.parameters())


@pytest.fixture
def same_bits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Additions come in one order each time."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@needs_gpu
@pytest.mark.usefixtures("same_bits")
@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate": 2, "batch": 1}, {"recompute": True}, {"surroundings": True, "composite": True, "hems": True}],
    ids=str,
)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("stage", STAGES)
def test_replayed_batches_train_as_those_that_are_not(
    stage: str,
    precision: str,
    options: dict[str, Any],
    tiny_config: TrainConfig,
    tiny_run: Path,
    tmp_path: Path,
) -> None:
    losses = {}
    for graph in (True, False):
        config = replace(tiny_config, device="cuda", out=tmp_path / str(graph), init=tiny_run, graph=graph)
        config = replace(config, steps=2 * CALLS, precision=precision, **options)
        train_stage(stage, config)
        with (config.out / stage / "log.csv").open() as file:
            losses[graph] = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[True] == losses[False]
