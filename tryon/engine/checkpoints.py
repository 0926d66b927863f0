"""The state of an unfinished stage, so that a stopped run goes on as if it had not stopped."""

from __future__ import annotations

import logging
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tryon.errors import InputError
from tryon.files import whole_file

CHECKPOINT_FOLDER = "checkpoints"
_NAME = "step_{:06d}.pt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Training state after ``step`` steps.

    Attributes:
        step: steps done.
        model: state dict of the stage's model.
        optimiser: state dict of the optimiser.
        scaler: state dict of the gradient scaler, empty where gradients are not scaled.
        settings: what the run was asked for; a run resumes only with the same.
        average: state dict of the model's moving average, where the run keeps one.
    """

    step: int
    model: dict[str, Any]
    optimiser: dict[str, Any]
    scaler: dict[str, Any]
    settings: dict[str, Any]
    average: dict[str, Any] | None = None


def checkpoint_files(folder: Path) -> dict[int, Path]:
    """The checkpoints of a stage folder by step, the last first."""
    files = {int(path.stem.partition("_")[2]): path for path in (folder / CHECKPOINT_FOLDER).glob("step_*.pt")}
    return dict(sorted(files.items(), reverse=True))


def has_checkpoint(folder: Path) -> bool:
    """Whether a stage folder holds a checkpoint to resume from."""
    return bool(checkpoint_files(folder))


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Write a checkpoint, then remove all but the last ``keep`` of those up to it.

    Raises:
        OSError: it cannot be written. Those before it are still there.
    """
    (folder / CHECKPOINT_FOLDER).mkdir(exist_ok=True)
    with whole_file(folder / CHECKPOINT_FOLDER / _NAME.format(checkpoint.step)) as file:
        torch.save(vars(checkpoint), file)
    keep_last(folder, checkpoint.step, keep)


def keep_last(folder: Path, step: int, keep: int) -> None:
    """Remove all but the last ``keep`` checkpoints up to ``step``; later ones are those that a run fell back from."""
    for path in [path for found, path in checkpoint_files(folder).items() if found <= step][keep:]:
        path.unlink()


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the last checkpoint of a stage folder that is whole; says in a line which damaged ones it passes over.

    Tensors and plain values only: nothing in the file is executed.

    Raises:
        InputError: there is none, or all are damaged.
    """
    damaged: list[InputError] = []
    for path in checkpoint_files(folder).values():
        try:
            checkpoint = _read(path)
        except InputError as error:
            damaged.append(error)
            continue
        for reason in damaged:
            _log.warning("%s; going on from %s", reason, path.name)
        return checkpoint
    if damaged:
        raise damaged[0]
    raise InputError(f"{folder / CHECKPOINT_FOLDER}: no such checkpoint to resume from")


def check_settings(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise InputError that names the first setting in which a stage folder's checkpoint differs from the run."""
    for name, value in wanted.items():
        if found.get(name) != value:
            raise InputError(
                f"{folder}: found a run with {name} {found.get(name)}, wanted {value}; resume with the same"
            )


def _read(path: Path) -> Checkpoint:
    try:
        with zipfile.ZipFile(path) as archive:  # torch reads a wrong byte as if it were right
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} is damaged")
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (
        RuntimeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read as a checkpoint ({reason})") from None
