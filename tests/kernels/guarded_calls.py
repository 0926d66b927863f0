"""Call every op, forward and backward, on tensors that begin, or end, at a page of memory that cannot be read.

A read outside of a tensor ends the process, also one by masked vector instructions or gathers, which AddressSanitizer
does not see.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from kernel_inputs import (
    COMPILED,
    DTYPES,
    LAYOUTS,
    Case,
    channels_last,
    features,
    flow_to,
    grid_to,
    positions,
    sample_inputs,
    with_dtype,
)
from torch import Tensor

import tryon_kernels as tk

PAGE = mmap.PAGESIZE
NO_ACCESS = 0  # PROT_NONE
EDGES = ("begin", "end")  # of the tensor, where the page is that must not be touched

_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[mmap.mmap] = []  # its pages stay as they are until the process ends


def guarded(tensor: Tensor, edge: str) -> Tensor:
    """The same values and strides in memory of its own, at that edge of which a page cannot be touched."""
    if tensor.numel() == 0:
        return tensor
    count = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    used = count * tensor.element_size()
    pages = -(-used // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    _kept.append(memory)
    start = PAGE if edge == "begin" else (1 + pages) * PAGE - used
    copy = torch.frombuffer(memory, dtype=tensor.dtype, count=count, offset=start).as_strided(
        tensor.shape, tensor.stride()
    )
    copy.copy_(tensor)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        if _libc.mprotect(ctypes.c_void_p(address + page * PAGE), ctypes.c_size_t(PAGE), NO_ACCESS) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
    return copy


def far_cases() -> list[Case]:
    """Positions that lie far outside on all sides, or are no number, in images whose last row or column is sampled."""
    size, out = (5, 19), (3, 40)
    image, second = features(2, 16, *size), features(2, 16, *out, seed=1)
    at = positions(2, *out, size, reach=4)
    at[0, 0, 0, :7] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 18.0, 0.0])
    at[0, 1, 0, 5:12] = torch.tensor([4.0, 0.0, torch.inf, -torch.inf, torch.nan, 4.0, -1.0])
    cases = []
    for padding_mode in ("border", "zeros"):
        cases.append(Case("warp", f"far {padding_mode}", (image, flow_to(at)), (padding_mode,)))
        for align_corners in (True, False):
            grid, name = grid_to(at, size, align_corners), f"far {padding_mode} align_corners={align_corners}"
            cases.append(Case("grid_sample", name, (image, grid), (padding_mode, align_corners)))
            options = (2, 0.1, padding_mode, align_corners)
            cases.append(Case("warp_correlation", name, (image, second, grid), options))
    return cases


def call(case: Case, layout: Callable[[Tensor], Tensor], edge: str) -> None:
    """The op and its gradients, with everything that they read guarded."""
    tensors = [guarded(layout(tensor), edge) for tensor in case.tensors]
    output = case.overload()(*tensors, *case.options)
    grad_output = guarded(layout(torch.ones_like(output)), edge)
    leaky = case.negative_slope is not None
    signs = ((guarded(layout(output), edge) if leaky else None),) if "correlation" in case.op else ()
    needed = (True,) * len(tensors)
    backward = getattr(torch.ops.tryon_kernels, f"{case.op}_backward")
    backward(grad_output, *tensors, *signs, *case.options, *needed)


def call_distance(count: int, dtype: torch.dtype, edge: str) -> None:
    """`feature_distance` and its gradients, with and without ReLU."""
    ops = torch.ops.tryon_kernels
    first, second, along = (guarded(features(count, seed=seed).to(dtype), edge) for seed in range(3))
    for relu in (True, False):
        activated, distance = ops.feature_distance(first, second, relu)
        kept = guarded(activated, edge) if relu else first
        ops.feature_distance_backward(along, distance, kept, second, relu, True, True)


def make_all(edge: str, log: Path) -> None:
    """Name each call in a file before making it."""
    torch.set_num_threads(1)
    layouts = {name: LAYOUTS[name] for name in ("contiguous", "channels_last", "transposed")}
    layouts["channels_last of a wider map"] = partial(_every_other_column, layout=channels_last)
    with log.open("w", buffering=1) as calls, tk.use_backend(COMPILED):
        for dtype in DTYPES:
            for case in (*sample_inputs(), *far_cases()):
                for name, layout in layouts.items():
                    print(f"{case} {dtype} {name}", file=calls)
                    call(with_dtype(case, dtype), layout, edge)
                    _kept.clear()
            for count in (1, 31, 77, 1100):  # less than a vector; vectors and some more; more than are summed at a time
                print(f"feature_distance of {count} {dtype}", file=calls)
                call_distance(count, dtype, edge)
                _kept.clear()


def _every_other_column(tensor: Tensor, layout: Callable[[Tensor], Tensor]) -> Tensor:
    """The same values with columns apart: what lies between the last pixel of one row and the next is not read."""
    return layout(tensor.repeat_interleave(2, dim=3))[..., ::2]
