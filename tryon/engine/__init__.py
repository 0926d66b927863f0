"""The training engine: loop, checkpoints, pictures."""

from tryon.engine.loop import train_all, train_stage

__all__ = ["train_all", "train_stage"]
