"""One training engine for all stages."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from tryon.card import write_card
from tryon.config import TrainConfig, check_training_size
from tryon.data.composite import draw_blots
from tryon.data.fakes import Fakes
from tryon.data.folder import TryOnFolder
from tryon.data.hems import draw_hems
from tryon.data.loader import BatchDraws, needing_workers, training_batches
from tryon.data.sample import Sample, move
from tryon.data.surroundings import draw_surroundings
from tryon.distributed import averaged, leads, processes, rank
from tryon.engine.average import MovingAverage
from tryon.engine.board import check_tensorboard
from tryon.engine.checkpoints import (
    Checkpoint,
    check_settings,
    has_checkpoint,
    keep_last,
    load_checkpoint,
    save_checkpoint,
)
from tryon.engine.distributed import Step, averaging, check_same, collecting
from tryon.engine.finite import listed, not_finite
from tryon.engine.lock import locked
from tryon.engine.memory import keep_freed_memory, return_freed_memory
from tryon.engine.norms import settle_norms
from tryon.engine.passes import GraphedPass, Pass, Passed
from tryon.engine.precision import gradient_scaler, may_overflow
from tryon.engine.recompute import recompute_activations
from tryon.engine.record import RUN_FILE, data_hash, run_record
from tryon.engine.stopping import StopRequest
from tryon.engine.watch import Watch
from tryon.errors import InputError, TrainingError
from tryon.files import make_folder, remove_parts
from tryon.losses import PerceptualLoss
from tryon.models import TryOnModel
from tryon.networks.norms import join_norms
from tryon.precision import LOWERED, autocast, check_precision
from tryon.progress import Progress
from tryon.stages import OF_STUDENT, STAGES, Recipe, Stage, StudentStage, StudentWarp, TutorStage
from tryon.weights import load_state, read_record, save_model, write_json

ADAM_BETAS = (0.5, 0.999)

_log = logging.getLogger(__name__)


def train_stage(name: str, config: TrainConfig) -> Path:
    """Train one stage from its start, or from its checkpoint, to its end.

    The first SIGINT or SIGTERM has the step finished and saved, and then raises KeyboardInterrupt or SystemExit(0).

    Returns:
        The stage's model folder, ``config.out / name``.

    Raises:
        InputError: the data, an earlier stage, a checkpoint or a setting is missing or does not fit, or the run folder
            is in use.
        TrainingError: a loss, a gradient or a weight is not finite, of which nothing is saved; or a process that reads
            data was ended.
        OSError: a file cannot be written. The checkpoints before it stay.
    """
    return _train([name], config)


def train_all(config: TrainConfig) -> Path:
    """Train the four stages in order, with fake pictures the student's two; otherwise as `train_stage`.

    Returns:
        The student's model folder.
    """
    return _train(list(STAGES) if config.fakes is None else OF_STUDENT, config)


def learning_rate_factor(step: int, steps: int) -> float:
    """1 in the first half of ``steps``, then linear decay that would reach 0 at ``steps``."""
    constant = steps // 2
    return 1.0 if step < constant else (steps - step) / (steps - constant)


def _train(names: Sequence[str], config: TrainConfig) -> Path:
    with ExitStack() as held:
        stop = held.enter_context(StopRequest())
        check_precision(config.precision, config.device)
        if config.fakes is not None and (others := set(names) - set(OF_STUDENT)):
            raise InputError(f"fakes: found with stage {others.pop()}, wanted one of {', '.join(OF_STUDENT)}")
        data = TryOnFolder(config.data, "train", config.size, config.layout, posed=config.fakes is None)
        check_training_size(data.size)
        if config.tensorboard:
            check_tensorboard()
        for folder in (config.out / name for name in names):
            if has_checkpoint(folder) and not config.resume:
                raise InputError(f"{folder}: found an earlier run, wanted an empty folder (or resume it)")
        fakes = _read_fakes(config, data)
        for name in names:
            return_freed_memory()
            run = _Run(name, config, data, fakes)
            if name == names[0] and leads():  # only now is something written
                make_folder(config.out)
                held.enter_context(locked(config.out))
            run.train(stop)
            del run
            gc.collect()  # weights, optimiser and a graph's memory are in cycles, and the next stage has as much
    return config.out / names[-1]


def _read_fakes(config: TrainConfig, data: TryOnFolder) -> Fakes | None:
    """The fake pictures, all of them read once so that none fails later."""
    if config.fakes is None:
        return None
    fakes = Fakes(config.fakes, data)
    told_by_masks = {
        "surroundings": "what is no background",
        "composite": "what no garment covers",
        "hems": "where the garment ends",
    }
    for option, tells in told_by_masks.items():
        if getattr(config, option) and not fakes.has_masks:
            raise InputError(f"{fakes.root}: found no folder mask, wanted one with {option}: {tells}")
    if leads():
        with Progress("read fakes", len(data.people), "people") as progress:
            fakes.check(progress.update)
    else:
        fakes.check()
    return fakes


class _Run:
    """One stage's training: its folder, stage, optimiser and position."""

    def __init__(self, name: str, config: TrainConfig, data: TryOnFolder, fakes: Fakes | None = None) -> None:
        self.config = config
        self.data = data
        self.fakes = fakes
        self.folder = config.out / name
        stage_type = STAGES[name]
        people = len(data.people)
        samples = processes() * config.batch * config.accumulate  # a step
        if people < max(samples, 2):
            raise InputError(f"{config.data}: found {people} training samples, wanted at least {max(samples, 2)}")
        self.steps = config.steps or (config.epochs or stage_type.epochs) * (people // samples)
        self.learning_rate = config.learning_rate or stage_type.learning_rate
        torch.manual_seed(config.seed)
        self.stage = self._build_stage(stage_type)
        self.stage_step: Step = self.stage.step
        self.passing: Pass = partial(self._pass, second_half=False)  # until a half starts
        self.weights = list(self.stage.model.named_parameters())  # walking through a model takes as long as a layer
        self.optimiser = Adam(self.stage.parameter_groups(self.learning_rate), betas=ADAM_BETAS, fused=True)
        self.average = None if config.average is None else MovingAverage(self.stage.model, config.average)
        self.full_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.scaler = gradient_scaler(config.precision, config.device)
        self.settings = self._settings()
        self.step = self.saved_step = 0

    def _build_stage(self, stage_type: type[Stage]) -> Stage:
        config, data = self.config, self.data
        perceptual = PerceptualLoss(config.perceptual_weights, config.width)
        assert data.scheme is not None  # a train split has parsing
        recipe = Recipe(
            config.init or config.out,
            data.size,
            config.width,
            data.has_densepose,
            data.scheme.name,
            keep_background=config.keep_background,
            copy_mask=config.copy_mask,
            guidance=config.guidance,
            generator_from_tutor=config.generator_from_tutor,
            fakes=self.fakes,
            without_tutor=stage_type is StudentWarp and self._without_tutor(),
        )
        stage = stage_type(recipe, perceptual).to(config.device)
        if processes() > 1:
            join_norms(stage.model)
        if config.recompute:
            recompute_activations(stage.model)
        # torch documents memory_format here; its annotations leave it out.
        return stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _without_tutor(self) -> bool:
        """Whether there are fake pictures in the tutor's place and no tutor, which an `init` would have to have."""
        config = self.config
        return self.fakes is not None and config.init is None and not (config.out / TutorStage.name).exists()

    def _settings(self) -> dict[str, Any]:
        """What must stay the same for a run to be one run."""
        config, recipe = self.config, self.stage.recipe
        return {
            "stage": self.stage.name,
            "steps": self.steps,
            "batch": processes() * config.batch,  # what is normalised together; how many share it is no matter
            "accumulate": config.accumulate,
            "learning_rate": self.learning_rate,
            "average": config.average,
            "guidance": config.guidance,
            "surroundings": config.surroundings,
            # None as in runs from before there were any
            "generator_from_tutor": (config.generator_from_tutor and self.stage.name == StudentStage.name) or None,
            "composite": (config.composite and self.stage.name in OF_STUDENT) or None,
            "hems": (config.hems and self.stage.name in OF_STUDENT) or None,
            "precision": config.precision,
            "seed": config.seed,
            "samples": len(self.data.people),
            "data": data_hash(self.data),
            "fakes": None if self.fakes is None else data_hash(self.fakes),
            "without_tutor": recipe.without_tutor or None,
            "height": recipe.size[0],
            "image_width": recipe.size[1],
            "width": recipe.width,
            "densepose": recipe.densepose,
            "label_scheme": recipe.label_scheme,
            "perceptual": self.stage.perceptual.source,
            "keep_background": recipe.keep_background,
            "copy_mask": recipe.copy_mask,
            "settle_norms": config.settle_norms,
        }

    def _resume(self) -> None:
        if not has_checkpoint(self.folder):
            _log.info("%s: nothing to resume yet, so it starts from its beginning", self.folder)
            return
        checkpoint = load_checkpoint(self.folder)
        check_settings(self.folder, checkpoint.settings, self.settings)
        load_state(self.stage.model, checkpoint.model, self.folder)
        self.optimiser.load_state_dict(checkpoint.optimiser)
        self.scaler.load_state_dict(checkpoint.scaler)
        if self.average is not None:
            assert checkpoint.average is not None  # the settings are the same
            load_state(self.average, checkpoint.average, self.folder)
        self.step = self.saved_step = checkpoint.step

    def _tidy(self) -> None:
        """Leave the folder as after a save at this step.

        A process that was killed while it saved may have left a checkpoint too many, and the model of another step.
        """
        keep_last(self.folder, self.step, self.config.keep)
        if self.step < self.steps or not self._has_model():
            self._save_model()

    def _has_model(self) -> bool:
        """Whether the model folder is whole and of this step: its record is written last."""
        try:
            return read_record(self.folder).step == self.step
        except InputError:
            return False

    def train(self, stop: StopRequest) -> None:
        """Run the remaining steps."""
        config = self.config
        if leads():
            make_folder(self.folder)
            remove_parts(self.folder)
        if config.resume:
            self._resume()
        check_same(self.folder, self.settings | {"step": self.step})
        self.stage.freeze(LOWERED[config.precision])
        half = self.steps // 2
        self._start_half(self.step >= half)
        self.draws = BatchDraws(
            len(self.data.people), config.batch, config.seed, self.step, config.accumulate, rank(), processes()
        )
        batches = training_batches(self.data, self.draws, config.workers, self.fakes)
        self.saved_at = time.monotonic()
        with ExitStack() as opened:
            opened.enter_context(needing_workers())
            if leads():
                if self.step:
                    self._tidy()
                write_json(self.folder / RUN_FILE, run_record(config, self.settings))
                self.watch = opened.enter_context(Watch(self.folder, config, self.step, self.steps))
            while self.step < self.steps and not stop.agreed():
                if self.step == half:
                    self._start_half(True)
                pictures, values = self._take_step(batches)
                self.step += 1
                if self.step == self.steps:
                    self._settle_norms(batches)
                if leads():
                    self._note_step(pictures, values)
            if leads() and self.saved_step < self.step:
                self._save()
            if leads() and self._has_model():
                write_card(self.folder)
        self._end_averaging()
        check_same(self.folder, {"step": self.step})  # whoever goes on finds what was saved
        stop.grant(f"{self.folder} at step {self.step} of {self.steps}; --resume goes on")

    def _start_half(self, second_half: bool) -> None:
        return_freed_memory()  # what learns from now on gets its optimiser's state
        self.stage.start_half(second_half)
        self._end_averaging()
        self.stage_step = averaging(self.stage)
        self.passing = partial(self._pass, second_half=second_half)
        if self.config.graph and torch.device(self.config.device).type == "cuda" and processes() == 1:
            learning = [weight for _, weight in self.weights if weight.requires_grad]
            self.passing = GraphedPass(self.passing, learning)

    def _end_averaging(self) -> None:
        """Let go of it, and of the cycles that it is in: later it would wait for processes that have parted."""
        self.stage_step = self.stage.step
        self.passing = partial(self._pass, second_half=True)  # and of a graph's memory
        if processes() > 1:
            gc.collect()

    def _note_step(self, pictures: dict[str, Tensor], values: dict[str, float]) -> None:
        self.watch.losses(self.step, values)
        at_picture = self.step % self.config.picture_every == 0 or self.step == self.steps
        if at_picture:
            self.watch.pictures(self.step, pictures)
        if at_picture or time.monotonic() - self.saved_at >= 60 * self.config.checkpoint_minutes:
            self._save()

    def _take_step(self, batches: Iterator[Sample]) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The pictures of the last batch, and the losses, which are means over all batches of all processes."""
        config = self.config
        factor = learning_rate_factor(self.step, self.steps)
        for group, rate in zip(self.optimiser.param_groups, self.full_rates, strict=True):
            group["lr"] = rate * factor
        self.optimiser.zero_grad(set_to_none=True)
        values: dict[str, float] = {}
        for part in range(config.accumulate):
            sample = self._varied(move(next(batches), config.device), part)
            with collecting(self.stage_step, last=part == config.accumulate - 1):
                passed = self.passing(sample)
            for name, value in zip(passed.names, averaged(passed.terms).tolist(), strict=True):
                values[name] = values.get(name, 0.0) + value
            if found := [f"{name} {value:g}" for name, value in values.items() if not math.isfinite(value)]:
                raise self._not_finite("loss", found)
        self.scaler.unscale_(self.optimiser)
        if found := not_finite((name, value.grad) for name, value in self.weights):
            if not may_overflow(self.scaler):
                raise self._not_finite("gradient", found)
            _log.info("%s: step %d left out, whose gradients overflowed", self.stage.name, self.step + 1)
        self.scaler.step(self.optimiser)  # leaves it out by itself
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.stage.model)
        keep_freed_memory()  # what stays is made now, the optimiser's state last
        return {"person": sample.person.photo, "garment": sample.garment.image} | passed.pictures, values

    def _pass(self, sample: Sample, second_half: bool) -> Passed:
        """A batch's losses, their parts of the step's, and its gradients, added to those that there are."""
        with autocast(self.config.precision, self.config.device):
            result = self.stage_step(sample, second_half)
        terms = torch.stack(list(result.losses.values())) / self.config.accumulate
        self.scaler.scale(terms.sum()).backward()
        pictures = {name: picture.detach() for name, picture in result.pictures.items()}
        return Passed(tuple(result.losses), terms.detach(), pictures)

    def _settle_norms(self, batches: Iterator[Sample]) -> None:
        def forward() -> None:
            with autocast(self.config.precision, self.config.device):
                self.stage.step(move(next(batches), self.config.device), second_half=True)

        self._end_averaging()
        learning, self.stage.model = self.stage.model, self._saved_model()
        settle_norms(self.stage.model, forward, self.config.settle_norms)
        self.stage.model = learning

    def _varied(self, sample: Sample, part: int) -> Sample:
        """With what is drawn for the student's input, if anything is."""
        config, place = self.config, part * processes() + rank()
        if config.surroundings:
            sample = replace(sample, surroundings=draw_surroundings(sample, config.seed, self.step, place))
        photo = sample.person.photo
        count, _, height, width = photo.shape
        if config.composite:
            blots = draw_blots(count, height, width, config.seed, self.step, place)
            sample = replace(sample, blots=blots.to(photo.device))
        if config.hems:
            hems = draw_hems(count, config.seed, self.step, place)
            sample = replace(sample, hems=hems.to(photo.device))
        return sample

    def _not_finite(self, what: str, where: list[str]) -> TrainingError:
        photos = (self.data.photo_path(self.data.people[person]).name for person, _ in self.draws.at(self.step))
        return TrainingError(
            f"{self.stage.name}: the {what} of step {self.step + 1} is not finite ({listed(where)}),"
            f" of {', '.join(photos)}; what was saved before stays"
        )

    def _save(self) -> None:
        state = self.stage.model.state_dict()
        if found := not_finite(state.items()):
            raise TrainingError(
                f"{self.stage.name}: the weights of step {self.step} are not finite ({listed(found)});"
                " what was saved before stays"
            )
        self.watch.sync()
        average = None if self.average is None else self.average.state_dict()
        checkpoint = Checkpoint(
            self.step, state, self.optimiser.state_dict(), self.scaler.state_dict(), self.settings, average
        )
        save_checkpoint(self.folder, checkpoint, self.config.keep)
        self._save_model()
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def _save_model(self) -> None:
        save_model(self.folder, self._saved_model(), self.stage.record(self.step))

    def _saved_model(self) -> TryOnModel:
        return self.stage.model if self.average is None else self.average.module
