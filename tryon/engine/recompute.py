"""Memory for time: activations of the widest parts are not kept for the backward but computed again in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from tryon.models import TryOnModel


def recompute_activations(model: TryOnModel) -> None:
    """Have a model keep only what goes into each step of its encoders, flow and generator until the backward.

    Values, gradients and running statistics are the same bits as without. Parameters keep their names.
    """
    for part in _parts(model):
        contexts = partial(_contexts, [module for module in part.modules() if isinstance(module, _NormBase)])
        forward = partial(
            checkpoint, part.forward, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
        )  # nothing in them is drawn
        part.forward = forward


def _parts(model: TryOnModel) -> Iterator[nn.Module]:
    """What computes again as one: a few convolutions of one size."""
    warp, generator = model.warp, model.generator
    yield from (*warp.garment_encoder, *warp.condition_encoder, *warp.flow.correlation, *warp.flow.refinement)
    if generator is not None:
        yield from (*generator.down, *generator.up)


def _contexts(norms: list[_NormBase]) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    return nullcontext(), _statistics_kept(norms)


@contextmanager
def _statistics_kept(norms: list[_NormBase]) -> Iterator[None]:
    """Let batch norms move copies of their running statistics, which they have moved once already."""
    kept = [(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers()]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)
