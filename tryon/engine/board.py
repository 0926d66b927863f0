"""Losses and pictures for TensorBoard, an extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tryon.errors import InputError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

BOARD_FOLDER = "tensorboard"


def check_tensorboard() -> None:
    """Raise InputError where TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise InputError(
            "tensorboard: found no such package, wanted it for --tensorboard; pip install tryon-kernels[tensorboard]"
        ) from None


def open_board(folder: Path, done: int) -> SummaryWriter:
    """A writer into a stage folder; what a stopped run wrote of the steps after ``done`` is hidden."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / BOARD_FOLDER), purge_step=done + 1 if done else None)
