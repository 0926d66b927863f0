"""Which implementation serves a call, and why the others do not."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tryon_kernels.ops.library import library

NAMES = ("auto", "eager", "cpp", "triton", "cuda")
OPS = ("warp", "grid_sample", "correlation", "warp_correlation")

# Triton reads the same variable: its interpreter then runs kernels on the CPU.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE_TYPES = {"cpp": "cpu", "triton": "cpu" if INTERPRETED else "cuda", "cuda": "cuda"}

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
    if INTERPRETED or not LIBRARY.exists():
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
    if name == "cuda":
        return "this version has no cuda kernels"
    if name == "triton":
        return _triton_missing()
    if INTERPRETED:
        return "Triton's interpreter serves CPU tensors (TRITON_INTERPRET=1)"
    if LIBRARY.exists():
        return None
    return build_record().get("reason", "the package was not installed, so its C++ part was not built")


def _triton_missing() -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed: pip install triton"
    if not INTERPRETED and not torch.cuda.is_available():
        return "torch finds no GPU"
    return None


def register_triton() -> None:
    """Let Triton's kernels serve the ops on its device, from when they are first called."""
    for op in OPS:
        for name in (op, f"{op}_backward"):
            library.impl(name, partial(_call_triton, name), DEVICE_TYPES["triton"].upper())


def _call_triton(name: str, *arguments: Any) -> Any:
    kernels = importlib.import_module("tryon_kernels.triton")
    device = arguments[0].device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        return getattr(kernels, name)(*arguments)


def report() -> str:
    """One line for each backend: what it serves, or why it is not there."""
    lines = [f"torch   {torch.__version__}, {torch.get_num_threads()} threads"]
    for name in NAMES[1:]:
        reason = missing(name)
        lines.append(f"{name:<7} " + (_description(name) if reason is None else f"not available: {reason}"))
    lines.append(f"in use  {serving('cpu')} for CPU tensors, {serving('cuda')} for GPU tensors, eager for others")
    return "\n".join(lines)


def _description(name: str) -> str:
    if name == "eager":
        return "plain torch formulas, any device"
    if name == "triton":
        if INTERPRETED:
            return "CPU tensors, by Triton's interpreter"
        return 'GPU tensors, for who asks for it: use_backend("triton"); it has not run on a GPU yet'
    return f"CPU tensors, {LIBRARY}, instruction sets: {', '.join(map(_described, variants.built))}"


def _described(variant: str) -> str:
    if variant == variants.chosen:
        return f"{variant} (in use)"
    return variant if variant in variants.runnable else f"{variant} (not on this CPU)"


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Let one backend serve every call of the block, in the whole process.

    "auto" takes the compiled kernels for CPU tensors where they are there and the eager formulas elsewhere.
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
        return device.type in _SERVING
    if device.type != DEVICE_TYPES[_chosen]:
        raise ValueError(f'backend "{_chosen}" serves {DEVICE_TYPES[_chosen]} tensors, got one on {device}')
    return True


def serving(device_type: str) -> str:
    """The backend that "auto" takes for tensors of such a device."""
    return _SERVING.get(device_type, "eager")


variants = load_library()
# What "auto" takes. Triton's kernels are not among it on a GPU as long as none has run them.
_SERVING = {DEVICE_TYPES[name]: name for name in ("triton" if INTERPRETED else "cpp",) if missing(name) is None}
if missing("triton") is None:
    register_triton()
