"""The training engine: loop, checkpoints, logs, pictures."""

from tryon.engine.checkpoints import has_checkpoint
from tryon.engine.loop import train_all, train_stage
from tryon.engine.plot import plot_losses

__all__ = ["has_checkpoint", "plot_losses", "train_all", "train_stage"]
