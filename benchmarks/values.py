"""Hold what is timed to the float64 reference, within what rounding can do."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from benchmarks.inputs import LAYOUTS, NEGATIVE_SLOPE, SAMPLERS, Case, Inputs
from benchmarks.operations import REFERENCE, forward, forward_and_backward

# Values within this of zero get no gradient where a leaky ReLU follows, because rounding might decide their slope. It
# exceeds the bound below on an output in bfloat16.
UNSURE_SIGN = 0.05
SINGLE = torch.finfo(torch.float32).eps
CPU = torch.device("cpu")


class WrongValueError(AssertionError):
    """A result differs from the reference by more than rounding explains."""


class Expected:
    """The reference's output and gradients for all cases of one operation and size, computed on a device."""

    def __init__(self, op: str, channels: int, height: int, width: int, device: torch.device) -> None:
        self.inputs = Inputs(op, channels, height, width)
        wide = tuple(tensor.double().to(device) for tensor in self.inputs.tensors)
        gradient = self.inputs.output_gradient
        if op == "warp_correlation":
            output = forward(REFERENCE[op], wide).to(gradient.device)
            gradient = gradient * ((output > UNSURE_SIGN) | (output < -UNSURE_SIGN * NEGATIVE_SLOPE))
        self.output_gradient = gradient
        self.most_hits = _most_hits(op, wide)
        self.results = forward_and_backward(REFERENCE[op], wide, gradient.double().to(device))


@lru_cache(maxsize=1)
def expected(op: str, channels: int, height: int, width: int, device: torch.device = CPU) -> Expected:
    """The reference's results; the last one asked for is kept."""
    return Expected(op, channels, height, width, device)


def tensors_of(case: Case, device: torch.device = CPU) -> tuple[tuple[Tensor, ...], Tensor]:
    """A case's arguments and its output's gradient, in its batch, dtype and layout."""
    reference = expected(case.op, case.channels, case.height, case.width, device)
    features = 1 if case.op in SAMPLERS else 2
    tensors = tuple(
        _as_features(tensor, case) if place < features else tensor[: case.batch].clone()
        for place, tensor in enumerate(reference.inputs.tensors)
    )
    moved = tuple(tensor.to(device) for tensor in tensors)
    return moved, _as_features(reference.output_gradient, case).to(device)


def check(case: Case, name: str, results: tuple[Tensor, ...]) -> None:
    """Compare an output and gradients with the reference's; WrongValueError says what is off.

    A sum of n terms that are at most s in all is off by at most n * eps * s when kept in float32. Each rounding to the
    stored dtype on the way to a result adds eps of that dtype times s: there is one, and two more where a warped map
    and its gradient may have been stored. The results are on the device where the reference was computed.
    """
    reference = expected(case.op, case.channels, case.height, case.width, results[0].device)
    roundings = 3 if case.op == "warp_correlation" else 1
    parts = ("output", "first gradient", "second gradient", "third gradient")
    bounds = _bounds(case, reference.most_hits)
    for part, actual, target, (terms, size) in zip(parts, results, reference.results, bounds, strict=False):
        target = target[: case.batch]
        bound = size * (terms * SINGLE + roundings * torch.finfo(case.dtype).eps)
        error = (actual.double() - target).abs().max().item()
        if not (actual.shape == target.shape and error <= bound):
            raise WrongValueError(f"{case}: {part} of {name} is off by {error:.3g}, more than {bound:.3g}")


def _bounds(case: Case, most_hits: float) -> tuple[tuple[float, float], ...]:
    """For the output and each gradient: how many terms are summed, and how large the sum of their sizes can be.

    Features and the output's gradient lie in (-1, 1). A pixel position has about four roundings, of eps times the
    image's size each, and moves a sample by at most twice that; these count as terms.
    """
    longest = max(case.height, case.width)
    moved = 8 * (longest + 2)
    per_pixel = 1 if case.op == "warp" else longest / 2  # change of a pixel position by the given one
    count, channels = case.displacements, case.channels
    if case.op == "correlation":
        return (channels, 1), (count, count / channels), (count, count / channels)
    if case.op == "warp_correlation":
        of_warped = count / channels
        return (
            (moved + channels, 1),
            (moved + most_hits + count, most_hits * of_warped),
            (moved + count, of_warped),
            (moved + channels + count, 2 * channels * per_pixel * of_warped),
        )
    return (moved, 1), (moved + most_hits, most_hits), (moved + channels, 2 * channels * per_pixel)


def _most_hits(op: str, wide: tuple[Tensor, ...]) -> float:
    """The largest total weight with which one pixel is sampled."""
    if op == "correlation":
        return 0.0
    sampler = "warp" if op == "warp" else "grid_sample"
    ones = torch.ones_like(wide[0][:, :1])
    return forward_and_backward(REFERENCE[sampler], (ones, wide[-1]), ones)[1].max().item()


def _as_features(tensor: Tensor, case: Case) -> Tensor:
    return tensor[: case.batch].to(case.dtype, copy=True).contiguous(memory_format=LAYOUTS[case.layout])
