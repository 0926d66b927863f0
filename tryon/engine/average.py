"""A moving average of the weights, which wanders less from step to step than the weights that learn."""

from __future__ import annotations

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tryon.models import TryOnModel


class MovingAverage(AveragedModel):
    """The exponential moving average of a model's parameters and batch-norm statistics.

    `update_parameters` copies them at its first call and makes them decay * average + (1 - decay) * model at each later
    one.

    Attributes:
        module: the averaged model.
    """

    module: TryOnModel

    def __init__(self, model: TryOnModel, decay: float) -> None:
        super().__init__(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
