"""Maps that are made again in the backward instead of kept for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def remade(given: Tensor, make: Callable[[], Tensor]) -> Iterator[None]:
    """Operations that are called meanwhile do not keep ``given`` for their backward.

    Args:
        given: to them, by who enters; nothing may write to it.
        make: makes it again, the same bits, from what is kept anyway.
    """
    if not torch.is_grad_enabled():
        yield
        return

    replaced = [given]

    def pack(kept: Tensor) -> Tensor | None:
        return None if _same(kept, *replaced) else kept

    def unpack(kept: Tensor | None) -> Tensor:
        if kept is not None:
            return kept
        with torch.no_grad():
            return make()

    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            yield
    finally:
        replaced.clear()  # the record keeps `pack` too


def _same(kept: Tensor, given: Tensor) -> bool:
    """Whether what a record keeps, which is an alias, is what was given; where nothing has a place, as on meta, not."""
    places = {(one.data_ptr(), one.dtype, one.shape, one.stride()) for one in (kept, given)}
    return len(places) == 1 and given.data_ptr() != 0
