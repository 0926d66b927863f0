"""Which implementation serves a call, and why the others do not."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch

from tryon_kernels import gpu
from tryon_kernels.gpu import choice
from tryon_kernels.libraries import CPP, CUDA, Variants, build_record, load_cpp, why_not_built
from tryon_kernels.ops.library import library

NAMES = ("auto", "eager", "cpp", "triton", "cuda")
OPS = ("warp", "grid_sample", "correlation", "warp_correlation")

# Triton reads the same variable: its interpreter then runs kernels on the CPU.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# Tests compile the CUDA kernels so that they run on the CPU.
HOST_RUN = not INTERPRETED and build_record("cuda").get("serves") == "cpu"
DEVICE_TYPES = {"cpp": "cpu", "triton": "cpu" if INTERPRETED else "cuda", "cuda": "cpu" if HOST_RUN else "cuda"}

_chosen = "auto"


def missing(name: str) -> str | None:
    """Why a backend is not there; None where it is."""
    return {"cpp": _cpp_missing, "triton": _triton_missing, "cuda": _cuda_missing}.get(name, lambda: None)()


def _cpp_missing() -> str | None:
    if INTERPRETED:
        return "Triton's interpreter serves CPU tensors (TRITON_INTERPRET=1)"
    return None if CPP.exists() else why_not_built("cpp")


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
        return f"built ({_architectures()}), but torch finds no GPU"
    if torch.version.hip:
        return f"built ({_architectures()}), but torch is for AMD's GPUs"
    major, minor = torch.cuda.get_device_capability()
    oldest = min(map(int, build_record("cuda")["architectures"].split()))
    if 10 * major + minor < oldest:
        return f"built ({_architectures()}), but the GPU is an older one, sm_{major}{minor}"
    return None


def _architectures() -> str:
    return ", ".join(f"sm_{architecture}" for architecture in build_record("cuda")["architectures"].split())


def _register_gpu(device_type: str) -> None:
    """Let GPU kernels serve the ops on their device, from when they are first called."""
    for op in OPS:
        for name in (op, f"{op}_backward"):
            library.impl(name, partial(_call_gpu, op, name), device_type.upper())


def _call_gpu(op: str, name: str, *arguments: Any) -> Any:
    features = arguments[name != op]  # a backward op has the output's gradient first
    backend = _chosen if _chosen in choice.NAMES else _gpu_backend(op, features.dtype, features.shape[1])[0]
    kernels = importlib.import_module(f"tryon_kernels.{backend}")
    with torch.cuda.device(features.device) if features.is_cuda else nullcontext():
        return getattr(gpu, name)(kernels, *arguments)


def _gpu_backend(op: str, dtype: torch.dtype, channels: int) -> tuple[str, str]:
    """The GPU kernels to take of those that are there, and why."""
    order, reason = choice.preferred(op, dtype, channels)
    there = [name for name in order if missing(name) is None]
    if not there:
        raise RuntimeError(f"{op}: there are no kernels for GPU tensors: " + "; ".join(map(_why_not, order)))
    return there[0], reason if len(there) == len(order) else _why_not(order[0] if there[0] != order[0] else order[1])


def _why_not(name: str) -> str:
    return f"{name} is not available: {missing(name)}"


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
    if name == "cpp":
        left_out = build_record("cpp").get("left_out")
        sets = ", ".join(map(_described, variants.built))
        return f"CPU tensors, {CPP}, instruction sets: {sets}" + (f"; left out: {left_out}" if left_out else "")
    if DEVICE_TYPES[name] == "cpu":
        return "CPU tensors, " + ("by Triton's interpreter" if name == "triton" else "compiled to run there")
    what = "GPU tensors" if name == "triton" else f"GPU tensors, {CUDA}, {_architectures()}"
    return f'{what}, for who asks for it: use_backend("{name}"); it has not run on a GPU yet'


def _described(variant: str) -> str:
    if variant == variants.chosen:
        return f"{variant} (in use)"
    return variant if variant in variants.runnable else f"{variant} (not on this CPU)"


def explain(op: str, device_type: str, dtype: torch.dtype, shape: Sequence[int]) -> str:
    """Which backend "auto" takes for an op on features like these, and what is said of each other one."""
    chosen = serving(device_type)
    lines = [f"{op} of {' x '.join(map(str, shape))} {str(dtype).removeprefix('torch.')} on {device_type}: {chosen}"]
    for name in NAMES[1:]:
        lines.append(f"{name:<7} {_verdict(name, chosen, op, device_type, dtype, shape[1])}")
    return "\n".join(lines)


def _verdict(name: str, chosen: str, op: str, device_type: str, dtype: torch.dtype, channels: int) -> str:
    if missing(name) is not None:
        return f"not available: {missing(name)}"
    if DEVICE_TYPES.get(name, device_type) != device_type:
        return f"serves {DEVICE_TYPES[name]} tensors"
    if name == chosen:
        return f"taken: {_reason(name, device_type)}"
    if name not in choice.NAMES:
        return f'not taken, for {chosen} is there; use_backend("{name}") takes it'
    backend, reason = _gpu_backend(op, dtype, channels)
    rank = "the first to take of the kernels for GPUs" if name == backend else f"after {backend}"
    return f'not taken, for it has not run on a GPU yet; use_backend("{name}") takes it; {rank} (unmeasured): {reason}'


def _reason(name: str, device_type: str) -> str:
    if name != "eager":
        return f"compiled kernels for {device_type} tensors"
    return f"no kernels are taken for {device_type} tensors unless they are asked for"


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


_GPU_THERE = [name for name in choice.NAMES if missing(name) is None]
variants = load_cpp() if _cpp_missing() is None else Variants()
# What "auto" takes: of GPU kernels only those that run on the CPU, as long as none has run on a GPU.
_SERVING = {
    DEVICE_TYPES[name]: name for name in ("cpp", *_GPU_THERE) if missing(name) is None and DEVICE_TYPES[name] == "cpu"
}
for _device_type in {DEVICE_TYPES[name] for name in _GPU_THERE}:
    _register_gpu(_device_type)
