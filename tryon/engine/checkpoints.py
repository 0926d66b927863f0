"""The state of an unfinished stage, so that a stopped run goes on as if it had not stopped."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tryon.errors import InputError

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """Training state after ``step`` steps.

    Attributes:
        step: steps done.
        model: state dict of the stage's model.
        optimiser: state dict of the optimiser.
        settings: what the run was asked for; a run resumes only with the same.
    """

    step: int
    model: dict[str, Any]
    optimiser: dict[str, Any]
    settings: dict[str, Any]


def has_checkpoint(folder: Path) -> bool:
    """Whether a stage folder holds a checkpoint to resume from."""
    return (folder / CHECKPOINT_FILE).exists()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint; the previous one stays until the new one is whole."""
    path = folder / CHECKPOINT_FILE
    part = path.with_suffix(".part")
    torch.save(vars(checkpoint), part)
    part.replace(path)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the checkpoint of a stage folder. Tensors and plain values only: nothing in the file is executed."""
    path = folder / CHECKPOINT_FILE
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint to resume from") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read as a checkpoint ({reason})") from None


def check_settings(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise InputError that names the first setting in which a checkpoint differs from the run."""
    for name, value in wanted.items():
        if found.get(name) != value:
            raise InputError(f"{path}: found a run with {name} {found.get(name)}, wanted {value}; resume with the same")
