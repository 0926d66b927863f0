"""Memory that a kernel leaves as it got it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor


@contextmanager
def unwritten_shows(deterministic: bool) -> Iterator[None]:
    """Fill what torch allocates uninitialised with NaN: by torch's own setting, which only deterministic mode has.

    That fills what torch's own operations allocate, too.
    """
    mode, setting = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        with nullcontext() if deterministic else _filling():
            yield
    finally:
        torch.use_deterministic_algorithms(mode)
        torch.utils.deterministic.fill_uninitialized_memory = setting


@contextmanager
def _filling() -> Iterator[None]:
    functions = mock.patch.multiple(torch, empty=_filled(torch.empty), empty_like=_filled(torch.empty_like))
    with functions, mock.patch.object(Tensor, "new_empty", _filled(Tensor.new_empty)):
        yield


def _filled(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def make_and_fill(*arguments: Any, **options: Any) -> Tensor:
        made = make(*arguments, **options)
        return made.fill_(torch.nan) if made.is_floating_point() else made

    return make_and_fill
