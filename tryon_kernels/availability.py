"""What is there: backends, the devices that they serve, and for what is missing the reason.

Nothing here asks the machine until it is called.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from tryon_kernels import gpu, stock
from tryon_kernels.gpu import choice
from tryon_kernels.libraries import CUDA, build_record, cpp_obstacle, why_not_built

OPS = ("warp", "grid_sample", "correlation", "warp_correlation", "feature_distance")
ALL_OPS = tuple(f"{op}{suffix}" for op in OPS for suffix in ("", "_backward"))

# Triton reads the same variable: its interpreter then runs kernels on the CPU.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# Tests compile the CUDA kernels so that they run on the CPU.
HOST_RUN = not INTERPRETED and build_record("cuda").get("serves") == "cpu"
DEVICE_TYPES = {"cpp": "cpu", "triton": "cpu" if INTERPRETED else "cuda", "cuda": "cpu" if HOST_RUN else "cuda"}
# Where the kernels for GPUs are called. In tests they run on the CPU.
GPU = "cpu" if INTERPRETED or HOST_RUN else "cuda"


@lru_cache
def missing(name: str) -> str | None:
    """Why a backend is not there; None where it is."""
    return {"cpp": _cpp_missing, "triton": _triton_missing, "cuda": _cuda_missing}.get(name, lambda: None)()


def _cpp_missing() -> str | None:
    if INTERPRETED:
        return "Triton's interpreter serves CPU tensors (TRITON_INTERPRET=1)"
    return cpp_obstacle()


def _triton_missing() -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed: pip install triton"
    if not INTERPRETED and not torch.cuda.is_available():
        return "torch finds no GPU"
    return None


def _cuda_missing() -> str | None:
    if not CUDA.exists():
        return why_not_built("cuda")
    if HOST_RUN:
        return None
    if not torch.cuda.is_available():
        return f"built ({architectures()}), but torch finds no GPU"
    if torch.version.hip:
        return f"built ({architectures()}), but torch is for AMD's GPUs"
    major, minor = torch.cuda.get_device_capability()
    oldest = min(map(int, build_record("cuda")["architectures"].split()))
    if 10 * major + minor < oldest:
        return f"built ({architectures()}), but the GPU is an older one, sm_{major}{minor}"
    return None


def architectures() -> str:
    """The GPUs that the CUDA kernels are compiled for."""
    return ", ".join(f"sm_{architecture}" for architecture in build_record("cuda")["architectures"].split())


@lru_cache
def gpu_backends() -> tuple[str, ...]:
    """The kernels for GPUs that are there."""
    return tuple(name for name in choice.NAMES if missing(name) is None)


def implementation(backend: str, name: str) -> Callable[..., Any]:
    """What computes an op of this name, forward or backward, on a GPU, by its kernels or by stock torch."""
    if backend == "stock":
        return stock.implementation(name)
    return partial(_launch, getattr(gpu, name), importlib.import_module(f"{__package__}.{backend}"))


def _launch(function: Callable[..., Any], kernels: Any, *arguments: Any) -> Any:
    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        return function(kernels, *arguments)
