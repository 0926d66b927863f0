"""What runs where and why, in words: `python -m tryon_kernels` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from tryon_kernels.availability import DEVICE_TYPES, GPU, OPS, architectures, gpu_backends, missing
from tryon_kernels.backends import serving
from tryon_kernels.gpu import selection
from tryon_kernels.gpu.record import CHOICES
from tryon_kernels.gpu.verdict import wrong
from tryon_kernels.libraries import CPP, CUDA, build_record, isa_error, variants
from tryon_kernels.pins import NAMES

OPTIONS: dict[str, tuple[Any, ...]] = {  # of a call, as networks have them
    "warp": ("border",),
    "grid_sample": ("border", True),
    "correlation": (3, 1, None, True),
    "warp_correlation": (3, 0.1, "border", True),
    "feature_distance": (True,),
}
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def report() -> str:
    """One line for each backend: what it serves, or why it is not there."""
    lines = [f"torch   {torch.__version__}, {torch.get_num_threads()} threads"]
    for name in NAMES[1:]:
        reason = missing(name)
        lines.append(f"{name:<7} " + (_description(name) if reason is None else f"not available: {reason}"))
    lines.append(f"in use  {serving('cpu')} for CPU tensors, {serving('cuda')} for GPU tensors, stock for others")
    return "\n".join(lines)


def _description(name: str) -> str:
    if name == "stock":
        return "torch's own operations, any device"
    if name == "eager":
        return "the reference formulas, any device, for who asks for them"
    if name == "cpp":
        left_out = build_record("cpp").get("left_out")
        sets = isa_error() or ", ".join(map(_described, variants().built))
        return f"CPU tensors, {CPP}, instruction sets: {sets}" + (f"; left out: {left_out}" if left_out else "")
    if DEVICE_TYPES[name] == "cpu":
        return "CPU tensors, " + ("by Triton's interpreter" if name == "triton" else "compiled to run there")
    what = "GPU tensors" if name == "triton" else f"GPU tensors, {CUDA}, {architectures()}"
    return f"{what}, where it is right and the fastest (--check tries it)"


def _described(variant: str) -> str:
    found = variants()
    if variant == found.chosen:
        return f"{variant} (in use)"
    return variant if variant in found.runnable else f"{variant} (not on this CPU)"


def explain(op: str, device_type: str, dtype: torch.dtype, shape: Sequence[int]) -> str:
    """Which backend "auto" takes for an op on features like these, and what is said of each other one."""
    chosen = serving(device_type)
    known: list[str] = []
    if chosen == selection.FASTEST:
        chosen, known = _measured(op, dtype, shape)
    lines = [f"{op} of {' x '.join(map(str, shape))} {_name(dtype)} on {device_type}: {chosen}", *known]
    lines += [f"{name:<7} {_verdict(name, chosen, device_type)}" for name in NAMES[1:]]
    return "\n".join(lines)


def _measured(op: str, dtype: torch.dtype, shape: Sequence[int]) -> tuple[str, list[str]]:
    """What has been chosen for such calls, and the times that it was chosen by."""
    tensors = _tensors(op, dtype, shape, torch.contiguous_format, torch.device(GPU))
    lines, chosen = [], "what its first call will choose"
    for with_gradients in (False, True):
        call = selection.call_of(op, tensors, OPTIONS[op], with_gradients)
        known = selection.record_of(call.device).get(CHOICES, str(call))
        if known is None:
            lines.append(f"not measured yet: {call}")
            continue
        chosen = known["backend"]
        times = ", ".join(f"{name} {ms:.3g} ms" for name, ms in known["ms"].items())
        lines.append(f"measured: {call} ({known['features']}): {chosen}; {times}")
    return chosen, lines


def _verdict(name: str, chosen: str, device_type: str) -> str:
    if missing(name) is not None:
        return f"not available: {missing(name)}"
    if DEVICE_TYPES.get(name, device_type) != device_type:
        return f"serves {DEVICE_TYPES[name]} tensors"
    if name == chosen:
        return "taken: " + (
            "no kernels serve these tensors" if name == "stock" else f"kernels for {device_type} tensors"
        )
    if name in gpu_backends() or (name == "stock" and device_type == GPU and gpu_backends()):
        return "a contender"
    return f'not taken, for {chosen} is there; use_backend("{name}") takes it'


def check(shape: Sequence[int]) -> tuple[str, bool]:
    """Try all kernels that are there, and time the right ones of a GPU beside stock torch on features of this shape.

    Returns a table, and whether all kernels are right.
    """
    if gpu_backends():
        rows = list(
            _gpu_rows(shape, torch.device(GPU, torch.cuda.current_device()) if GPU == "cuda" else torch.device(GPU))
        )
    elif missing("cpp") is None:
        rows = list(_cpp_rows())
    else:
        return (
            f"no kernels are there: cpp: {missing('cpp')}; triton: {missing('triton')}; cuda: {missing('cuda')}",
            True,
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines), not any(" wrong: " in f" {row[-1]}" for row in rows)


def _gpu_rows(shape: Sequence[int], device: torch.device) -> Iterator[tuple[str, ...]]:
    yield "op", "dtype", "layout", "taken", "found"
    for op, dtype, layout in _kinds():
        tensors = _tensors(op, dtype, shape, LAYOUTS[layout], device)
        selection_of = selection.call_of(op, tensors, OPTIONS[op], True)
        verdicts = {name: selection.verdict(name, selection_of, OPTIONS[op]) for name in gpu_backends()}
        found = [f"{name} wrong: {fault}" for name, fault in verdicts.items() if fault]
        right = [name for name, fault in verdicts.items() if not fault]
        times = selection.timed((selection.STOCK, *right), selection_of, tensors, OPTIONS[op])
        found = [*(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in times.items()), *found]
        yield op, _name(dtype), layout, min(times, key=times.__getitem__), ", ".join(found)


def _cpp_rows() -> Iterator[tuple[str, ...]]:
    yield "op", "dtype", "layout", "found"
    for op, dtype, layout in _kinds():
        last = layout == "channels_last"
        fault = wrong(_cpp, op, dtype, last, torch.device("cpu"), OPTIONS[op])
        yield op, _name(dtype), layout, f"cpp wrong: {fault}" if fault else "cpp right"


def _cpp(name: str) -> Any:
    return getattr(torch.ops.tryon_kernels, name)


def _kinds() -> Iterator[tuple[str, torch.dtype, str]]:
    for op in OPS:
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            for layout in LAYOUTS:
                yield op, dtype, layout


def _tensors(
    op: str, dtype: torch.dtype, shape: Sequence[int], layout: torch.memory_format, device: torch.device
) -> tuple[torch.Tensor, ...]:
    """Tensors of a call: features, and positions a few pixels away from each pixel's own."""
    count, _, height, width = shape
    first, second = (torch.rand(*shape, device=device).to(dtype).contiguous(memory_format=layout) for _ in range(2))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    flow = 6 * torch.rand(count, 2, height, width, device=device, dtype=wide) - 3
    if op == "warp":
        return first, flow
    if op in ("correlation", "feature_distance"):
        return first, second
    grid = flow.permute(0, 2, 3, 1) / flow.new_tensor([width / 2, height / 2])
    return (first, grid) if op == "grid_sample" else (first, second, grid)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
