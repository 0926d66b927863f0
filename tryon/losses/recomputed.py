"""Terms that keep what they are given for the backward, and compute what lies between again."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(term: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """`term` of what is given; nothing may be drawn in it, or exchanged with other processes."""
    result: Tensor = checkpoint(term, *given, use_reentrant=False, preserve_rng_state=False)
    return result
