"""One training engine for all stages."""

from __future__ import annotations

import csv
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam
from tqdm import tqdm

from tryon.config import TrainConfig, check_training_size
from tryon.data.folder import TryOnFolder
from tryon.data.loader import BatchDraws, training_batches
from tryon.data.sample import Sample, move
from tryon.engine.checkpoints import (
    CHECKPOINT_FILE,
    Checkpoint,
    check_settings,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from tryon.engine.pictures import save_pictures
from tryon.errors import InputError, TrainingError
from tryon.losses import PerceptualLoss
from tryon.stages import STAGES, Recipe, Stage, StepResult
from tryon.weights import load_state, save_model, write_json

ADAM_BETAS = (0.5, 0.999)
PICTURE_ROWS = 4
LOG_FILE = "log.csv"
RUN_FILE = "run.json"
_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{rate_noinv_fmt}, {remaining} left{postfix}]"
_TERMINAL_INTERVAL, _FILE_INTERVAL = 0.5, 20.0  # seconds between updates of the bar


def train_stage(name: str, config: TrainConfig) -> Path:
    """Train one stage from its start, or from its checkpoint, to its end.

    Returns:
        The stage's model folder, ``config.out / name``.

    Raises:
        InputError: the data, an earlier stage, a checkpoint or a setting is missing or does not fit.
        TrainingError: a loss is not finite; nothing of that step reached the weights.
    """
    folder = TryOnFolder(config.data, "train", config.size)
    check_training_size(folder.size)
    return _Run(name, config, folder).train()


def train_all(config: TrainConfig) -> Path:
    """Train the four stages in order; returns the student's model folder. Resuming skips what is finished."""
    folder = config.out
    for name in STAGES:
        # A resumed run may have stopped before this stage began.
        resume = config.resume and has_checkpoint(config.out / name)
        folder = train_stage(name, replace(config, resume=resume))
    return folder


def learning_rate_factor(step: int, steps: int) -> float:
    """1 in the first half of ``steps``, then linear decay that would reach 0 at ``steps``."""
    constant = steps // 2
    return 1.0 if step < constant else (steps - step) / (steps - constant)


class _Run:
    """One stage's training: its folder, stage, optimiser and position."""

    def __init__(self, name: str, config: TrainConfig, data: TryOnFolder) -> None:
        self.config = config
        self.data = data
        self.folder = config.out / name
        stage_type = STAGES[name]
        people = len(data.people)
        if people < max(config.batch, 2):
            raise InputError(f"{config.data}: found {people} training samples, wanted at least {max(config.batch, 2)}")
        self.steps = config.steps or (config.epochs or stage_type.epochs) * (people // config.batch)
        self.learning_rate = config.learning_rate or stage_type.learning_rate
        self._check_folder()
        torch.manual_seed(config.seed)
        self.stage = self._build_stage(stage_type)
        self.optimiser = Adam(self.stage.parameter_groups(self.learning_rate), betas=ADAM_BETAS, fused=True)
        self.full_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.settings = self._settings()
        self.step = self._resume() if config.resume else 0

    def _check_folder(self) -> None:
        if has_checkpoint(self.folder) and not self.config.resume:
            raise InputError(f"{self.folder}: found an earlier run, wanted an empty folder (or resume it)")

    def _build_stage(self, stage_type: type[Stage]) -> Stage:
        config, data = self.config, self.data
        perceptual = PerceptualLoss(config.perceptual_weights, config.width)
        assert data.scheme is not None  # a train split has parsing
        recipe = Recipe(config.init or config.out, data.size, config.width, data.has_densepose, data.scheme.name)
        stage = stage_type(recipe, perceptual).to(config.device)
        # torch documents memory_format here; its annotations leave it out.
        return stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _settings(self) -> dict[str, Any]:
        """What must stay the same for a run to be one run."""
        config, recipe = self.config, self.stage.recipe
        return {
            "stage": self.stage.name,
            "steps": self.steps,
            "batch": config.batch,
            "learning_rate": self.learning_rate,
            "precision": config.precision,
            "seed": config.seed,
            "samples": len(self.data.people),
            "height": recipe.size[0],
            "image_width": recipe.size[1],
            "width": recipe.width,
            "densepose": recipe.densepose,
            "label_scheme": recipe.label_scheme,
            "perceptual": self.stage.perceptual.source,
        }

    def _resume(self) -> int:
        path = self.folder / CHECKPOINT_FILE
        checkpoint = load_checkpoint(self.folder)
        check_settings(path, checkpoint.settings, self.settings)
        load_state(self.stage.model, checkpoint.model, path)
        self.optimiser.load_state_dict(checkpoint.optimiser)
        return checkpoint.step

    def train(self) -> Path:
        """Run the remaining steps."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / RUN_FILE, self._record())
        half = self.steps // 2
        self.stage.start_half(self.step >= half)
        draws = BatchDraws(len(self.data.people), self.config.batch, self.config.seed, start=self.step)
        batches = training_batches(self.data, draws, self.config.workers)
        with _progress(self.stage.name, self.step, self.steps) as bar, _Log(self.folder / LOG_FILE, self.step) as log:
            while self.step < self.steps:
                if self.step == half:
                    self.stage.start_half(True)
                sample = move(next(batches), self.config.device)
                result, values = self._take_step(sample, second_half=self.step >= half)
                self.step += 1
                log.write(self.step, values)
                bar.set_postfix_str(f"loss {sum(values.values()):.3f}", refresh=False)
                bar.update()
                if self.step % self.config.picture_every == 0 or self.step == self.steps:
                    log.flush()
                    self._save(sample, result)
        return self.folder

    def _take_step(self, sample: Sample, second_half: bool) -> tuple[StepResult, dict[str, float]]:
        factor = learning_rate_factor(self.step, self.steps)
        for group, rate in zip(self.optimiser.param_groups, self.full_rates, strict=True):
            group["lr"] = rate * factor
        self.optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            result = self.stage.step(sample, second_half)
        terms = torch.stack(list(result.losses.values()))
        values = dict(zip(result.losses, terms.tolist(), strict=True))
        if not terms.isfinite().all():
            found = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise TrainingError(f"{self.stage.name}: the loss of step {self.step + 1} is not finite ({found})")
        terms.sum().backward()
        self.optimiser.step()
        return result, values

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(self.config.device).type, dtype=torch.bfloat16)

    def _save(self, sample: Sample, result: StepResult) -> None:
        columns: dict[str, Tensor] = {"person": sample.person.photo, "garment": sample.garment.image}
        save_pictures(self.folder / "pictures" / f"step_{self.step:06d}.png", columns | result.pictures, PICTURE_ROWS)
        save_model(self.folder, self.stage.model, self.stage.record(self.step))
        save_checkpoint(
            self.folder,
            Checkpoint(self.step, self.stage.model.state_dict(), self.optimiser.state_dict(), self.settings),
        )

    def _record(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "config": asdict(self.config),
            "torch": torch.__version__,
            "tryon_kernels": version("tryon-kernels"),
            "device": self.config.device,
        }


def _progress(name: str, done: int, steps: int) -> tqdm[Any]:
    interval = _TERMINAL_INTERVAL if sys.stderr.isatty() else _FILE_INTERVAL
    return tqdm(
        desc=f"{name:12}",
        initial=done,
        total=steps,
        unit=" steps",
        bar_format=_BAR,
        mininterval=interval,
        maxinterval=interval,
    )


class _Log:
    """Losses a step as CSV; a resumed run drops what lies after its checkpoint."""

    def __init__(self, path: Path, done: int) -> None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[: done + 1] if done and path.exists() else []
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.writelines(lines)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._has_header = bool(lines)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append a step's losses."""
        if not self._has_header:
            self._writer.writerow(["step", "loss", *values])
            self._has_header = True
        self._writer.writerow([step, f"{sum(values.values()):.6g}", *(f"{value:.6g}" for value in values.values())])

    def flush(self) -> None:
        """Leave no step before a checkpoint unwritten."""
        self._file.flush()

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
