"""Which implementation serves a call, and why the others do not."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

NAMES = ("auto", "eager", "cpp", "triton", "cuda")
DEVICE_TYPES = {"cpp": "cpu", "triton": "cuda", "cuda": "cuda"}

_FOLDER = Path(__file__).parent
LIBRARY = _FOLDER / "_cpp.so"
BUILD_RECORD = _FOLDER / "_build.json"

_chosen = "auto"


@dataclass(frozen=True)
class Variants:
    """Instruction sets that the compiled kernels have code for, best first.

    `TRYON_KERNELS_ISA` in the environment names the one to take; without it, it is the best of those that run here.
    """

    built: tuple[str, ...]
    runnable: tuple[str, ...]
    chosen: str


def load_library() -> Variants:
    """Load the compiled kernels if they are there.

    Raises ImportError, with the cause, for a library that cannot be loaded and for an instruction set that is asked
    for and not to be had.
    """
    if not LIBRARY.exists():
        return Variants((), (), "")
    try:
        torch.ops.load_library(LIBRARY)
        library = ctypes.CDLL(str(LIBRARY))
    except (OSError, RuntimeError) as error:
        raise ImportError(f"tryon_kernels: {LIBRARY} is there but cannot be loaded: {error}") from error
    found = Variants(
        tuple(_text(library.tryon_kernels_variants_built).split()),
        tuple(_text(library.tryon_kernels_variants_runnable).split()),
        _text(library.tryon_kernels_variant_chosen),
    )
    if not found.chosen:
        raise ImportError(
            f'TRYON_KERNELS_ISA: got "{os.environ["TRYON_KERNELS_ISA"]}", expected one of '
            f"{', '.join(found.runnable)} (built: {', '.join(found.built)})"
        )
    return found


def _text(function: Any) -> str:
    function.restype = ctypes.c_char_p
    return function().decode()


def build_record() -> dict[str, str]:
    """What the build noted where it made no binary: `reason`."""
    return json.loads(BUILD_RECORD.read_text()) if BUILD_RECORD.exists() else {}


def missing(name: str) -> str | None:
    """Why a backend is not there; None where it is."""
    if name in ("auto", "eager"):
        return None
    if name != "cpp":
        return f"this version has no {name} kernels"
    if LIBRARY.exists():
        return None
    return build_record().get("reason", "the package was not installed, so its C++ part was not built")


def report() -> str:
    """One line for each backend: what it serves, or why it is not there."""
    lines = [f"torch   {torch.__version__}, {torch.get_num_threads()} threads"]
    for name in NAMES[1:]:
        reason = missing(name)
        lines.append(f"{name:<7} " + (_description(name) if reason is None else f"not available: {reason}"))
    lines.append(
        f"in use  {'cpp' if compiled_serves(torch.device('cpu')) else 'eager'} for CPU tensors, eager for others"
    )
    return "\n".join(lines)


def _description(name: str) -> str:
    if name == "eager":
        return "plain torch formulas, any device"
    return f"CPU tensors, {LIBRARY}, instruction sets: {', '.join(map(_described, variants.built))}"


def _described(variant: str) -> str:
    if variant == variants.chosen:
        return f"{variant} (in use)"
    return variant if variant in variants.runnable else f"{variant} (not on this CPU)"


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Let one backend serve every call of the block, in the whole process.

    "auto" takes the compiled kernels for the tensors' device where they are there and the eager formulas elsewhere.
    Raises ValueError for an unknown name and RuntimeError, with the reason, for a backend that is not there. A call
    with tensors on a device that the backend does not serve raises ValueError.
    """
    global _chosen
    if name not in NAMES:
        raise ValueError(f'name: got "{name}", expected one of {", ".join(NAMES)}')
    reason = missing(name)
    if reason is not None:
        raise RuntimeError(f'backend "{name}" is not available: {reason}')
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before


def compiled_serves(device: torch.device) -> bool:
    """Do compiled kernels serve tensors of this device now? Otherwise the eager formulas do."""
    if _chosen == "eager":
        return False
    if _chosen == "auto":
        return device.type == "cpu" and _CPP_IS_THERE
    if device.type != DEVICE_TYPES[_chosen]:
        raise ValueError(f'backend "{_chosen}" serves {DEVICE_TYPES[_chosen]} tensors, got one on {device}')
    return True


variants = load_library()
_CPP_IS_THERE = missing("cpp") is None
