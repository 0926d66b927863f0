"""The training engine: loop, checkpoints, pictures."""

from tryon.engine.checkpoints import has_checkpoint
from tryon.engine.loop import train_all, train_stage

__all__ = ["has_checkpoint", "train_all", "train_stage"]
