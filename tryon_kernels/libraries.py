"""The compiled libraries beside this file: what the build noted of them, and their loading."""

from __future__ import annotations

import ctypes
import json
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
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
    None is chosen where it names one that is not to be had: then the first call is an error.
    """

    built: tuple[str, ...] = ()
    runnable: tuple[str, ...] = ()
    chosen: str = ""


@lru_cache
def build_record(name: str) -> dict[str, str]:
    """What the build noted of the library "cpp" or "cuda": the `reason` why it is not there, or what is in it."""
    try:
        return json.loads(BUILD_RECORD.read_text()).get(name, {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        return {"reason": f"{BUILD_RECORD} cannot be read ({error}); install the package again"}


def why_not_built(name: str) -> str:
    """The reason that the build noted."""
    return build_record(name).get("reason", "the package was not installed, so its compiled part was not built")


@lru_cache
def cpp_obstacle() -> str | None:
    """Load the CPU kernels; why they cannot be had, None where they serve. It chooses no instruction set yet."""
    if not CPP.exists():
        return why_not_built("cpp")
    try:
        load(CPP)
    except ImportError as error:
        return str(error)
    return None


@lru_cache
def variants() -> Variants:
    """What this CPU runs of the CPU kernels, found out now; nothing where they are not there."""
    if cpp_obstacle() is not None:
        return Variants()
    library = load(CPP)
    return Variants(
        tuple(_text(library.tryon_kernels_variants_built).split()),
        tuple(_text(library.tryon_kernels_variants_runnable).split()),
        _text(library.tryon_kernels_variant_chosen),
    )


def isa_error() -> str | None:
    """What is wrong with the instruction set that the environment asks for."""
    found = variants()
    if not found.built or found.chosen:
        return None
    asked, there = os.environ.get("TRYON_KERNELS_ISA"), ", ".join(found.runnable)
    return f'TRYON_KERNELS_ISA: got "{asked}", expected one of {there} (built: {", ".join(found.built)})'


def load(path: Path) -> Any:
    """Load a library, which registers its ops. Raises ImportError, with the cause, where it cannot be loaded."""
    try:
        torch.ops.load_library(path)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError) as error:
        cause = error.__cause__ or error  # torch's own words leave the loader's out
        raise ImportError(f"{path} is there but cannot be loaded: {cause}") from error


def warn_of_broken(path: Path, obstacle: str | None) -> None:
    """Say that a library is there and of no use, which nobody would find out otherwise."""
    if obstacle is not None and path.exists():
        warnings.warn(f"tryon_kernels: {obstacle}; stock torch serves instead", RuntimeWarning, stacklevel=2)


def _text(function: Any) -> str:
    function.restype = ctypes.c_char_p
    return function().decode()
