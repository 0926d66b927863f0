"""The compiled libraries beside this file: what the build noted of them, and their loading."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_FOLDER = Path(__file__).parent
CPP = _FOLDER / "_cpp.so"
CUDA = _FOLDER / "_cuda.so"
BUILD_RECORD = _FOLDER / "_build.json"


@dataclass(frozen=True)
class Variants:
    """Instruction sets that the CPU kernels have code for, best first.

    `TRYON_KERNELS_ISA` in the environment names the one to take; without it, it is the best of those that run here.
    """

    built: tuple[str, ...] = ()
    runnable: tuple[str, ...] = ()
    chosen: str = ""


def build_record(name: str) -> dict[str, str]:
    """What the build noted of the library "cpp" or "cuda": the `reason` why it is not there, or what is in it."""
    records = json.loads(BUILD_RECORD.read_text()) if BUILD_RECORD.exists() else {}
    return records.get(name, {})


def why_not_built(name: str) -> str:
    """The reason that the build noted."""
    return build_record(name).get("reason", "the package was not installed, so its compiled part was not built")


def load_cpp() -> Variants:
    """Load the CPU kernels.

    Raises ImportError, with the cause, for a library that cannot be loaded and for an instruction set that is asked
    for and not to be had.
    """
    library = _load(CPP)
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


def load_cuda() -> None:
    """Load the CUDA kernels. Raises ImportError, with the cause, where they cannot be loaded."""
    _load(CUDA)


def _load(path: Path) -> Any:
    try:
        torch.ops.load_library(path)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError) as error:
        raise ImportError(f"tryon_kernels: {path} is there but cannot be loaded: {error}") from error


def _text(function: Any) -> str:
    function.restype = ctypes.c_char_p
    return function().decode()
