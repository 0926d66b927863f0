from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder
from tryon.data.loader import BatchDraws
from tryon.data.sample import stack
from tryon.engine import loop, train_all, train_stage
from tryon.engine.checkpoints import load_checkpoint
from tryon.engine.loop import learning_rate_factor
from tryon.errors import InputError, TrainingError
from tryon.losses import PerceptualLoss
from tryon.stages import STAGES, Recipe
from tryon.stages.student import StudentStage, StudentWarp
from tryon.stages.tutor import TutorStage, TutorWarp
from tryon.weights import load_model, read_record

WIDTH = 1 / 16


@pytest.fixture
def recipe(tiny_run: Path) -> Recipe:
    return Recipe(init=tiny_run, size=(64, 64), width=WIDTH, densepose=True, label_scheme="viton")


@pytest.fixture
def perceptual() -> PerceptualLoss:
    return PerceptualLoss(None, WIDTH)


def test_the_stages_are_the_published_ones() -> None:
    assert [(stage.name, stage.epochs, stage.learning_rate) for stage in STAGES.values()] == [
        ("tutor-warp", 100, 5e-5),
        ("tutor", 100, 5e-5),
        ("student-warp", 200, 3e-5),
        ("student", 100, 5e-5),
    ]


def test_the_learning_rate_is_constant_then_decays_to_zero() -> None:
    factors = [learning_rate_factor(step, 8) for step in range(8)]
    assert factors == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


class TestARunFolder:
    def test_holds_model_checkpoint_pictures_log_and_record_of_every_stage(self, tiny_run: Path) -> None:
        for name in STAGES:
            files = {path.name for path in (tiny_run / name).iterdir()}
            generator = {"generator.safetensors"} if name in ("tutor", "student") else set()
            model = {"model.json", "warp.safetensors", "README.md"} | generator
            assert files == model | {"checkpoints", "pictures", "log.csv", "run.json"}
            assert [path.name for path in (tiny_run / name / "checkpoints").iterdir()] == ["step_000002.pt"]
            assert [path.name for path in (tiny_run / name / "pictures").iterdir()] == ["step_000002.png"]

    def test_records_what_the_model_was_trained_on(self, tiny_run: Path) -> None:
        tutor, student = (read_record(tiny_run / name) for name in ("tutor", "student"))
        assert (tutor.role, tutor.densepose, tutor.generator) == ("tutor", True, True)
        assert (student.role, student.densepose, student.generator) == ("student", False, True)
        assert student.size == (64, 64)
        assert student.label_scheme == "viton"
        assert student.perceptual == "random"
        assert student.alignment == "align_corners=True"
        run = json.loads((tiny_run / "student" / "run.json").read_text())
        assert run["settings"]["perceptual"] == "random"
        assert run["torch"] == torch.__version__
        assert run["numpy"] == np.__version__
        assert run["command"]
        assert run["settings"]["seed"] == 0
        assert re.fullmatch("[0-9a-f]{64}", run["settings"]["data"])
        assert run["machine"]["cores"] >= 1
        assert run["machine"]["gpu"] is None

    def test_logs_every_step_with_every_loss(self, tiny_run: Path) -> None:
        with (tiny_run / "student" / "log.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["step"] for row in rows] == ["1", "2"]
        for row in rows:
            terms = [float(value) for name, value in row.items() if name not in ("step", "loss")]
            assert math.isclose(float(row["loss"]), sum(terms), rel_tol=1e-4)


class TestStages:
    def test_the_tutors_generator_stage_starts_from_its_warp_stage(
        self, tiny_run: Path, recipe: Recipe, perceptual: PerceptualLoss
    ) -> None:
        stage = TutorStage(recipe, perceptual)
        wanted = load_file(tiny_run / "tutor-warp" / "warp.safetensors")
        assert all(torch.equal(value, wanted[key]) for key, value in stage.model.warp.state_dict().items())

    def test_a_generator_stage_trains_the_warp_network_five_times_slower(
        self, recipe: Recipe, perceptual: PerceptualLoss
    ) -> None:
        groups = StudentStage(recipe, perceptual).parameter_groups(1.0)
        assert [group["lr"] for group in groups] == [0.2, 1.0]

    def test_the_students_warp_stage_starts_from_the_tutors_garment_side(
        self, tiny_run: Path, recipe: Recipe, perceptual: PerceptualLoss
    ) -> None:
        stage = StudentWarp(recipe, perceptual)
        tutors = load_file(tiny_run / "tutor" / "warp.safetensors")
        own = stage.model.warp.state_dict()
        shared = [key for key in own if key.startswith(("garment_", "flow.correlation"))]
        assert shared
        assert all(torch.equal(own[key], tutors[key]) for key in shared)

    def test_its_first_half_trains_only_condition_and_refinement(
        self, recipe: Recipe, perceptual: PerceptualLoss
    ) -> None:
        stage = StudentWarp(recipe, perceptual)
        stage.start_half(False)
        trained = {name for name, value in stage.model.warp.named_parameters() if value.requires_grad}
        wanted = {
            name
            for name, _ in stage.model.warp.named_parameters()
            if name.startswith(("condition_", "flow.refinement"))
        }
        assert trained == wanted
        stage.start_half(True)
        assert all(value.requires_grad for value in stage.model.warp.parameters())

    def test_what_does_not_learn_yet_normalises_by_the_batch_all_the_same(
        self, recipe: Recipe, perceptual: PerceptualLoss
    ) -> None:
        stage = StudentWarp(recipe, perceptual)
        stage.start_half(False)
        assert all(module.training for module in stage.model.modules())

    @pytest.mark.parametrize("stage_type", [StudentWarp, StudentStage])
    def test_the_tutor_stays_frozen(self, stage_type, drawn_data, recipe: Recipe, perceptual: PerceptualLoss) -> None:
        stage = stage_type(recipe, perceptual)
        before = {key: value.clone() for key, value in stage.tutor.state_dict().items()}
        stage.start_half(True)
        folder = TryOnFolder(drawn_data, "train")
        sample = stack([folder.read_sample(folder.people[i], folder.people[i + 1]) for i in range(2)])
        result = stage.step(sample, second_half=True)
        torch.stack(list(result.losses.values())).sum().backward()
        assert all(value.grad is None for value in stage.tutor.parameters())
        assert all(torch.equal(value, before[key]) for key, value in stage.tutor.state_dict().items())
        assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in stage.model.parameters())

    def test_the_student_sees_the_fake_image_and_nothing_else(
        self, drawn_data: Path, recipe: Recipe, perceptual: PerceptualLoss
    ) -> None:
        stage = StudentWarp(recipe, perceptual)
        folder = TryOnFolder(drawn_data, "train")
        sample = stack([folder.read_sample(folder.people[i], folder.people[i + 1]) for i in range(2)])
        knowledge = stage.tutor_knowledge(sample)
        seen = knowledge.person
        assert seen.regions is None
        assert seen.keypoints is None
        assert seen.densepose is None
        fake = stage.tutor(sample.person, sample.other)
        torch.testing.assert_close(seen.photo, fake.image.detach())


class TestResuming:
    @pytest.mark.parametrize(
        ("stage", "options"),
        [
            ("tutor-warp", {}),
            ("tutor-warp", {"average": 0.75}),
            ("student-warp", {"surroundings": True}),
            ("student", {"fakes": "drawn_fakes"}),
        ],
    )
    def test_continues_as_if_the_run_had_not_stopped(
        self,
        tiny_config: TrainConfig,
        tiny_run: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        stage: str,
        options: dict[str, object],
        request: pytest.FixtureRequest,
    ) -> None:
        if "fakes" in options:
            options = {"fakes": request.getfixturevalue(options["fakes"])}
        whole = replace(tiny_config, out=tmp_path / "whole", init=tiny_run, steps=5, picture_every=2, **options)
        train_stage(stage, whole)

        stopped = replace(whole, out=tmp_path / "stopped")
        take_step = loop._Run._take_step

        def stop_after_three(run, *arguments, **options):
            if run.step == 3:
                raise KeyboardInterrupt
            return take_step(run, *arguments, **options)

        monkeypatch.setattr(loop._Run, "_take_step", stop_after_three)
        with pytest.raises(KeyboardInterrupt):
            train_stage(stage, stopped)
        monkeypatch.undo()
        train_stage(stage, replace(stopped, resume=True))

        for name in ("warp.safetensors", "log.csv"):
            assert (whole.out / stage / name).read_bytes() == (stopped.out / stage / name).read_bytes()

    def test_refuses_other_settings(self, tiny_config: TrainConfig, tiny_run: Path) -> None:
        with pytest.raises(InputError, match="tutor-warp: found a run with batch 2, wanted 4"):
            train_stage("tutor-warp", replace(tiny_config, batch=4, resume=True))

    def test_starts_from_the_beginning_where_there_is_no_checkpoint_yet_and_says_so(
        self, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO"):
            folder = train_stage("tutor-warp", replace(tiny_config, out=tmp_path, resume=True))
        assert f"{folder}: nothing to resume yet, so it starts from its beginning" in caplog.messages
        name = "warp.safetensors"
        assert (folder / name).read_bytes() == (tiny_run / "tutor-warp" / name).read_bytes()

    def test_refuses_other_data(self, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
        data = Path(shutil.copytree(tiny_config.data, tmp_path / "data"))
        with (data / "train_img" / "000002_0.png").open("ab") as photo:
            photo.write(b"more")
        with pytest.raises(InputError, match=r"tutor-warp: found a run with data .*, wanted .*; resume with the same"):
            train_stage("tutor-warp", replace(tiny_config, data=data, resume=True))

    @pytest.mark.parametrize("damage", ["cut", "turned"])
    def test_falls_back_to_the_checkpoint_before_a_damaged_one_and_says_so(
        self, tiny_config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
    ) -> None:
        config = replace(tiny_config, out=tmp_path, steps=3, picture_every=1)
        folder = train_stage("tutor-warp", config)
        wanted = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json" and path.is_file()
        }
        damage_file(folder / "checkpoints" / "step_000003.pt", damage)
        train_stage("tutor-warp", replace(config, resume=True))
        assert {name: (folder / name).read_bytes() for name in wanted} == wanted
        said = [message for message in caplog.messages if "step_000003.pt" in message]
        assert len(said) == 1
        assert said[0].endswith("; going on from step_000002.pt")
        assert load_checkpoint(folder).step == 3

    @pytest.mark.parametrize("damage", ["cut", "turned"])
    def test_refuses_where_every_checkpoint_is_damaged(
        self, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path, damage: str
    ) -> None:
        out = Path(shutil.copytree(tiny_run, tmp_path / "run"))
        damage_file(out / "tutor-warp" / "checkpoints" / "step_000002.pt", damage)
        with pytest.raises(InputError, match=r"step_000002\.pt: cannot be read as a checkpoint"):
            train_stage("tutor-warp", replace(tiny_config, out=out, resume=True))

    def test_without_being_asked_an_earlier_run_is_not_overwritten(
        self, tiny_config: TrainConfig, tiny_run: Path
    ) -> None:
        with pytest.raises(InputError, match="found an earlier run"):
            train_stage("tutor-warp", tiny_config)

    def test_no_stage_is_trained_where_a_later_one_has_an_earlier_run(
        self, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_run / "student", tmp_path / "student")
        with pytest.raises(InputError, match="student: found an earlier run"):
            train_all(replace(tiny_config, out=tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["student"]


class TestCheckpoints:
    def test_the_last_ones_are_kept(self, tiny_config: TrainConfig, tmp_path: Path) -> None:
        folder = train_stage("tutor-warp", replace(tiny_config, out=tmp_path, steps=5, picture_every=1, keep=3))
        names = sorted(path.name for path in (folder / "checkpoints").iterdir())
        assert names == [f"step_{step:06d}.pt" for step in (3, 4, 5)]

    def test_are_written_by_time_too(
        self, tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        minutes = iter(range(100))  # one a look at the clock: at the start, after each step, after each save
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: 60.0 * next(minutes)))
        config = replace(tiny_config, out=tmp_path, steps=6, checkpoint_minutes=2, keep=9)
        folder = train_stage("tutor-warp", config)
        names = sorted(path.name for path in (folder / "checkpoints").iterdir())
        assert names == [f"step_{step:06d}.pt" for step in (2, 4, 6)]

    def test_one_of_weights_that_are_not_finite_is_not_written(self, tiny_config: TrainConfig, tmp_path: Path) -> None:
        config = replace(tiny_config, out=tmp_path, steps=1, learning_rate=1e300)
        with pytest.raises(TrainingError, match=r"tutor-warp: the weights of step 1 are not finite \(warp\."):
            train_stage("tutor-warp", config)
        assert not list(tmp_path.rglob("*.pt"))
        assert not list(tmp_path.rglob("*.safetensors"))


class TestARunStops:
    def test_without_the_earlier_stage(self, tiny_config: TrainConfig, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"student-warp/model\.json: no such file"):
            train_stage("student", replace(tiny_config, out=tmp_path / "run", init=self.only(tiny_config, tmp_path)))
        assert not (tmp_path / "run").exists()

    @staticmethod
    def only(config: TrainConfig, tmp_path: Path) -> Path:
        """An init folder with the tutor alone."""
        shutil.copytree(config.out / "tutor", tmp_path / "init" / "tutor")
        return tmp_path / "init"

    def test_on_an_earlier_stage_of_another_width(
        self, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
    ) -> None:
        config = replace(tiny_config, init=tiny_run, out=tmp_path, width=1 / 8)
        with pytest.raises(InputError, match=r"tutor-warp: found a model of width 0\.0625, wanted 0\.125"):
            train_stage("tutor", config)

    def test_on_data_without_the_tutors_densepose(
        self, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
    ) -> None:
        data = Path(shutil.copytree(tiny_config.data, tmp_path / "data"))
        shutil.rmtree(data / "train_densepose")
        with pytest.raises(InputError, match="found a tutor trained with DensePose, wanted one without"):
            train_stage("tutor", replace(tiny_config, data=data, init=tiny_run, out=tmp_path / "run"))

    def test_on_a_size_that_does_not_fit_the_pyramid(self, tiny_config: TrainConfig, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"found 100x64, wanted multiples of 32.*the nearest is 96x64"):
            train_stage("tutor-warp", replace(tiny_config, out=tmp_path, size=(100, 64)))

    def test_on_fewer_samples_than_a_batch(self, tiny_config: TrainConfig, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="found 5 training samples, wanted at least 6"):
            train_stage("tutor-warp", replace(tiny_config, out=tmp_path, batch=6))

    def test_on_a_loss_that_is_not_finite_before_the_weights_change(
        self, tiny_config: TrainConfig, tmp_path: Path
    ) -> None:
        config = replace(tiny_config, out=tmp_path, steps=50, learning_rate=1e30)
        with pytest.raises(TrainingError, match=r"the loss of step 2 is not finite \(warp_smoothness nan, warp_"):
            train_stage("tutor-warp", config)

    def test_on_a_loss_or_gradient_that_is_not_finite_with_its_samples_and_the_last_good_weights(
        self, tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = replace(tiny_config, out=tmp_path, steps=2, picture_every=1)
        train_stage("tutor-warp", replace(config, out=tmp_path / "good"))
        people = BatchDraws(people=5, batch=2, seed=config.seed).at(1)
        names = ", ".join(f"{person:06d}_0.png" for person, _ in people)
        for what, term, named in (
            ("loss", lambda value: value * math.nan, "warp_l1 nan"),
            ("gradient", infinite_in_backward, r"warp\.\S+, warp\..* and \d+ more"),
        ):
            monkeypatch.setattr(TutorWarp, "step", spoilt_in_step_2(TutorWarp.step, term))
            folder = tmp_path / what / "tutor-warp"
            with pytest.raises(TrainingError, match=rf"the {what} of step 2 is not finite \({named}\), of {names};"):
                train_stage("tutor-warp", replace(config, out=folder.parent))
            monkeypatch.undo()
            checkpoint, model = load_checkpoint(folder), load_file(folder / "warp.safetensors")
            assert checkpoint.step == read_record(folder).step == 1
            assert all(torch.equal(checkpoint.model[f"warp.{name}"], value) for name, value in model.items())
            train_stage("tutor-warp", replace(config, out=folder.parent, resume=True))
            good = tmp_path / "good" / "tutor-warp" / "warp.safetensors"
            assert (folder / "warp.safetensors").read_bytes() == good.read_bytes()


def spoilt_in_step_2(step, spoil):
    """A stage's step whose second call has its first loss spoilt."""
    calls = iter(range(1, 100))

    def spoilt(stage, sample, second_half):
        result = step(stage, sample, second_half)
        if next(calls) == 2:
            name, value = next(iter(result.losses.items()))
            result.losses[name] = spoil(value)
        return result

    return spoilt


def infinite_in_backward(value: torch.Tensor) -> torch.Tensor:
    """0, whose gradient is infinite."""
    return (value - value.detach()).sqrt()


def damage_file(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if how == "turned" else content[: len(content) // 2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps: found 0"),
        ({"epochs": 1}, "steps: found 2 beside epochs 1"),
        ({"batch": 0}, "batch: found 0"),
        ({"width": 0.0}, "width: found 0"),
        ({"width": math.inf}, "width: found inf, wanted a finite number above 0"),
        ({"learning_rate": -1.0}, "learning rate: found -1"),
        ({"learning_rate": math.inf}, "learning rate: found inf"),
        ({"learning_rate": math.nan}, "learning rate: found nan"),
        ({"checkpoint_minutes": 0.0}, "checkpoint minutes: found 0"),
        ({"keep": 0}, "keep: found 0, wanted at least 1"),
        ({"average": 1.0}, "average: found 1, wanted a decay above 0 and below 1"),
        ({"average": 0.0}, "average: found 0, wanted"),
        ({"average": math.nan}, "average: found nan, wanted"),
        ({"seed": -1}, "seed: found -1, wanted 0 to"),
        ({"seed": 1 << 64}, "seed: found 18446744073709551616"),
        ({"accumulate": 0}, "accumulate: found 0, wanted at least 1"),
        ({"precision": "fp8"}, "precision: found 'fp8'"),
    ],
)
def test_an_impossible_configuration_fails_before_anything_is_read(tiny_config, wrong, message) -> None:
    with pytest.raises(InputError, match=message):
        replace(tiny_config, **wrong)


def test_data_without_densepose_trains_a_tutor_of_fewer_channels(tiny_config: TrainConfig, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_config.data, tmp_path / "data"))
    shutil.rmtree(data / "train_densepose")
    config = replace(tiny_config, data=data, out=tmp_path / "run")
    for name in ("tutor-warp", "tutor"):
        train_stage(name, config)
    model, record = load_model(tmp_path / "run" / "tutor")
    assert not record.densepose
    assert model.warp.condition_channels == 20
    assert model.generator.in_channels == 7


def test_bf16_autocast_trains(tiny_config: TrainConfig, tmp_path: Path) -> None:
    folder = train_stage("tutor-warp", replace(tiny_config, out=tmp_path, precision="bf16"))
    assert all(value.dtype != torch.bfloat16 for value in load_file(folder / "warp.safetensors").values())


def test_training_makes_the_loss_smaller(tiny_config: TrainConfig, tmp_path: Path) -> None:
    folder = train_stage(TutorWarp.name, replace(tiny_config, out=tmp_path, steps=30, learning_rate=1e-3, width=1 / 8))
    with (folder / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
