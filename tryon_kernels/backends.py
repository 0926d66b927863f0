"""Which implementation serves a call, and why the others do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

NAMES = ("auto", "eager", "cpp", "triton", "cuda")
DEVICE_TYPES = {"cpp": "cpu", "triton": "cuda", "cuda": "cuda"}

_FOLDER = Path(__file__).parent
LIBRARY = _FOLDER / "_cpp.so"
BUILD_RECORD = _FOLDER / "_build.json"

_chosen = "auto"


def load_library() -> None:
    """Load the compiled kernels if they are there; one that cannot be loaded is an ImportError naming the cause."""
    if not LIBRARY.exists():
        return
    try:
        torch.ops.load_library(LIBRARY)
    except (OSError, RuntimeError) as error:
        raise ImportError(f"tryon_kernels: {LIBRARY} is there but cannot be loaded: {error}") from error


def build_record() -> dict[str, Any]:
    """What the build noted: `variants`, the instruction sets compiled for, and `reason`, why there is no binary."""
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
    return f"CPU tensors, {LIBRARY}, instruction sets: {', '.join(build_record().get('variants', ['not recorded']))}"


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


load_library()
_CPP_IS_THERE = missing("cpp") is None
