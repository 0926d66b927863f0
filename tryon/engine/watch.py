"""What a person sees of a stage while it trains: progress, log, pictures and, where wanted, TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from torch import Tensor

from tryon.config import TrainConfig
from tryon.distributed import processes
from tryon.engine.board import open_board
from tryon.engine.log import LOG_FILE, LossLog
from tryon.engine.pictures import batch_sheet
from tryon.files import whole_file
from tryon.progress import Progress

PICTURE_FOLDER = "pictures"
PICTURE_ROWS = 4


class Watch:
    """Shows every step of a stage.

    Args:
        folder: the stage's.
        config: of the run.
        step: steps done before.
        steps: in all.
    """

    def __init__(self, folder: Path, config: TrainConfig, step: int, steps: int) -> None:
        self._folder = folder
        with ExitStack() as opened:
            self._log = opened.enter_context(LossLog(folder / LOG_FILE, step))
            self._board = opened.enter_context(open_board(folder, step)) if config.tensorboard else None
            items = (processes() * config.batch * config.accumulate, "samples")
            self._progress = opened.enter_context(Progress(folder.name, steps, "steps", step, items))
            self._opened = opened.pop_all()

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Show the losses of a step."""
        self._log.write(step, values)
        if self._board is not None:
            for name, value in {"loss": sum(values.values()), **values}.items():
                self._board.add_scalar(name, value, step)
        terms = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        self._progress.update(note=f"loss {sum(values.values()):.4g} = {terms}")

    def pictures(self, step: int, columns: Mapping[str, Tensor]) -> None:
        """Show the first images (N x 3 x H x W in [-1, 1], by title) of a step side by side."""
        sheet = batch_sheet(columns, PICTURE_ROWS)
        (self._folder / PICTURE_FOLDER).mkdir(exist_ok=True)
        with whole_file(self._folder / PICTURE_FOLDER / f"step_{step:06d}.png") as file:
            sheet.save(file, "PNG")
        if self._board is not None:
            self._board.add_image("pictures", np.asarray(sheet), step, dataformats="HWC")

    def sync(self) -> None:
        """Bring the log to the disk, before a checkpoint that relies on it."""
        self._log.sync()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
