"""The backend that is asked for, in this thread or task, or by `TRYON_KERNELS_BACKEND` in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

NAMES = ("auto", "stock", "eager", "cpp", "triton", "cuda")
VARIABLE = "TRYON_KERNELS_BACKEND"
OF_ENVIRONMENT = os.environ.get(VARIABLE) or "auto"

_pinned: ContextVar[str] = ContextVar("tryon_kernels_backend", default="")
# torch.compile cannot ask a context variable, but recompiles where a global has changed. These are the blocks that are
# entered, in any thread, latest last.
_blocks: tuple[Block, ...] = ()
_of_latest_block = ""


class Block:
    """A block of code in which a backend is pinned."""

    def __init__(self, name: str) -> None:
        self.name = name


def current() -> str:
    """The name that is pinned; empty where none is, so that what the environment says holds."""
    return _of_latest_block if torch.compiler.is_compiling() else _pinned.get()


@contextmanager
def pinned(name: str) -> Iterator[None]:
    """Pin a backend in the block, for this thread or task alone."""
    token = _pinned.set(name)
    try:
        yield
    finally:
        _pinned.reset(token)


@contextmanager
def pinned_for_compiled_code(name: str) -> Iterator[None]:
    """Let code that torch.compile has compiled, or compiles meanwhile, find the name too."""
    block = Block(name)
    _set_blocks((*_blocks, block))
    try:
        yield
    finally:
        _set_blocks(tuple(other for other in _blocks if other is not block))


def _set_blocks(blocks: tuple[Block, ...]) -> None:
    global _blocks, _of_latest_block
    _blocks = blocks
    _of_latest_block = blocks[-1].name if blocks else ""
