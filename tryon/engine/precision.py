"""Half precision on the way through the networks; weights that learn, their gradients and positions stay float32."""

from __future__ import annotations

import torch
from torch import nn

from tryon.stages import Stage


def lower_frozen(stage: Stage, dtype: torch.dtype) -> None:
    """Keep the convolutions that never learn in autocast's dtype, in which it would make them anew at every call."""
    for network in stage.frozen():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(dtype)
