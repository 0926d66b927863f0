"""Inputs that every kernel test draws from, and the error that each result may have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

import tryon_kernels as tk
from tryon_kernels import eager
from tryon_kernels.availability import DEVICE_TYPES, HOST_RUN, INTERPRETED

OPS = ("warp", "grid_sample", "correlation", "warp_correlation")
SLOPES = {"correlation": 2, "warp_correlation": 1}  # which of an op's options is the negative slope
POSITIONS = {"warp": 1, "grid_sample": 1, "warp_correlation": 2}  # which of an op's tensors holds positions

# Whose kernels are tested: cpp, triton or cuda. Where GPU kernels were made to run on the CPU, they are.
_PRESENT = "triton" if INTERPRETED else "cuda" if HOST_RUN else "cpp"
COMPILED = os.environ.get("TRYON_KERNELS_TEST_BACKEND", _PRESENT)
if COMPILED not in DEVICE_TYPES:
    raise ValueError(f'TRYON_KERNELS_TEST_BACKEND: got "{COMPILED}", expected one of {", ".join(DEVICE_TYPES)}')
DEVICE = torch.device(DEVICE_TYPES[COMPILED])
CPU = torch.device("cpu")
# The interpreter knows float16 only as it knows bfloat16: to load, to compute with in float32, and to store.
DTYPES = (torch.float32, torch.float64, *(() if INTERPRETED else (torch.float16,)), torch.bfloat16)
# GPU kernels on the CPU take seconds for what a GPU does at once.
SIMULATED = INTERPRETED or HOST_RUN
BACKENDS = (COMPILED,) if SIMULATED else ("eager", "stock", COMPILED)
CPU_LIBRARY = f"concerns the CPU library, and {COMPILED} is tested"  # why a test is skipped


def adds_in_any_order(backend: str | None) -> bool:
    """Does a backend add up a sampled map's gradient as threads come? Stock torch on a GPU does."""
    return backend == "stock" and DEVICE.type == "cuda"


def between_orders(backend: str, terms: int, size: float) -> float:
    """How far a backend's float64 sums of so many terms, together of this size, may be apart from time to time."""
    return 2 * terms * torch.finfo(torch.float64).eps * size if adds_in_any_order(backend) else 0.0


UNSURE_SIGN = 0.01  # in bfloat16 a mean of products of numbers in (-1, 1), rounded first, is closer than this


@dataclass(frozen=True)
class Case:
    """Arguments of one op: tensors, then options in the op's order."""

    op: str
    name: str
    tensors: tuple[Tensor, ...]
    options: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.op}: {self.name}"

    def public(self, *tensors: Tensor) -> Tensor:
        """Call the public function on these tensors, with the case's options."""
        if self.op == "warp":
            return tk.warp(*tensors, padding_mode=self.options[0])
        if self.op == "grid_sample":
            return tk.grid_sample(*tensors, "bilinear", *self.options)
        if self.op == "warp_correlation":
            names = ("radius", "negative_slope", "padding_mode", "align_corners")
            return tk.warp_correlation(*tensors, **dict(zip(names, self.options, strict=True)))
        radius, stride, negative_slope, mean = self.options
        reduction = "mean" if mean else "sum"
        return tk.correlation(
            *tensors, radius=radius, stride=stride, negative_slope=negative_slope, reduction=reduction
        )

    def reference(self, *tensors: Tensor) -> Tensor:
        """Call the eager formula."""
        return getattr(eager, self.op)(*tensors, *self.options)

    def is_large(self) -> bool:
        """Whether a simulated GPU would take long."""
        return max(tensor.numel() for tensor in self.tensors) > MOST_SIMULATED

    def samples_many(self) -> bool:
        """Whether the interpreter would take long for the samples of an image."""
        return self.op in ("warp", "grid_sample") and self.tensors[1].numel() > LONG

    def overload(self) -> Any:
        """The registered op."""
        return getattr(torch.ops.tryon_kernels, self.op).default

    @property
    def negative_slope(self) -> float | None:
        """Of the leaky ReLU, for ops that have one."""
        place = SLOPES.get(self.op)
        return None if place is None else self.options[place]

    @property
    def volume_scale(self) -> int:
        """By how much a correlation's volume is larger than the mean over the channels."""
        return 1 if self.op == "warp_correlation" or self.options[3] else self.tensors[0].shape[1]

    def output_gradient(self) -> Tensor:
        """A gradient for the output: 0 where rounding may decide which of two slopes a value takes."""
        before = _before_the_slope(self.op, self.options, Numbers.of(self.tensors))
        gradient = output_gradient(before.to(self.tensors[0].dtype))
        return gradient if self.negative_slope is None else gradient * (before.abs() > self._unsure_sign())

    def _unsure_sign(self) -> float:
        """How close to 0 a mean, or sum, of products of numbers in (-1, 1) may change its sign, or be stored as 0."""
        dtype, channels = self.tensors[0].dtype, self.tensors[0].shape[1]
        if self.op == "warp_correlation":
            return UNSURE_SIGN
        summed = torch.float64 if dtype == torch.float64 else torch.float32
        info = torch.finfo(dtype)
        return self.volume_scale * (channels + 2) * torch.finfo(summed).eps + info.smallest_normal * info.eps / 2

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Case:
        """The same case with changed tensors."""
        return replace(self, tensors=tuple(change(tensor) for tensor in self.tensors))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(*shape: int, seed: int = 0) -> Tensor:
    """float64 numbers in (-1, 1), so that bounds on errors are easy to say."""
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64) * 2 - 1


def positions(count: int, height: int, width: int, size: tuple[int, int], reach: float = 1.5, seed: int = 1) -> Tensor:
    """N x 2 x Ho x Wo pixel positions in and around an image of this size, all at least 0.1 from a whole number.

    The gradient by the position jumps at whole numbers, where rounding would decide which side a test sees.
    """
    span = torch.tensor(size[::-1], dtype=torch.float64).view(1, 2, 1, 1)
    drawn = (torch.rand(count, 2, height, width, generator=generator(seed), dtype=torch.float64) - 0.5) * 2 * reach
    around = span / 2 + drawn * (span / 2 + 1)
    fraction = torch.rand(around.shape, generator=generator(seed + 1), dtype=torch.float64) * 0.8 + 0.1
    return around.floor() + fraction


def flow_to(at: Tensor) -> Tensor:
    """The flow whose warp samples at these pixel positions."""
    height, width = at.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return at - torch.stack([x, y])


def grid_to(at: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """The sampling grid of these pixel positions, as a permuted N x 2 x Ho x Wo map."""
    span = torch.tensor(size[::-1], dtype=torch.float64).view(1, 2, 1, 1)
    normalised = at * 2 / (span - 1).clamp(min=1) - 1 if align_corners else (2 * at + 1) / span - 1
    return normalised.permute(0, 2, 3, 1)


# N, C, (H, W), (Ho, Wo): one pixel, one row, one column, no image at all, longer than the kernels' pieces of a row,
# channels that fill vectors and that do not.
SAMPLING_SIZES = (
    (2, 3, (5, 7), (5, 7)),
    (1, 1, (1, 1), (3, 2)),
    (2, 16, (1, 9), (4, 5)),
    (1, 33, (6, 1), (2, 130)),
    (0, 4, (5, 5), (3, 3)),
    (3, 8, (12, 10), (1, 1)),
)
CORRELATION_SIZES = (
    # N, C, H, W, radius, stride, negative slope, mean
    (2, 4, 5, 7, 3, 1, 0.1, True),
    (1, 1, 1, 1, 1, 1, None, True),
    (1, 35, 6, 3, 2, 1, None, False),
    (2, 16, 9, 8, 3, 2, 0.1, True),
    (1, 5, 7, 11, 4, 3, 0.0, False),
    (1, 70, 4, 5, 0, 1, None, True),
    (0, 4, 5, 5, 3, 1, 0.1, True),
    (1, 3, 3, 2, 8, 1, 0.2, True),
    (2, 64, 5, 40, 3, 1, 0.1, False),  # whole vectors of channels, of pixels, and of both
    (1, 37, 3, 33, 9, 1, None, True),
    (1, 130, 2, 150, 5, 1, 0.1, True),  # wider than the strips that the kernels cut images into
)


WARP_CORRELATION_SIZES = (
    # N, C, (H, W), (Ho, Wo), radius, negative slope
    (2, 4, (5, 7), (5, 7), 3, 0.1),
    (1, 1, (1, 1), (3, 2), 1, None),
    (1, 18, (1, 9), (4, 5), 0, 0.0),
    (0, 4, (5, 5), (3, 3), 3, 0.1),
    (2, 3, (4, 3), (0, 3), 2, None),
    (1, 70, (6, 2), (20, 3), 2, 0.2),  # more channels and rows than are worked on at a time
    (4, 70, (2, 3), (30, 24), 1, 0.1),  # more channels than are copied at a time, in images enough for all threads
    (1, 144, (3, 9), (2, 150), 5, 0.1),  # whole vectors of channels; wider than the strips that images are cut into
)


# A simulated GPU takes seconds for maps of more numbers than this, and for more numbers of positions.
MOST_SIMULATED = 3000
LONG = 200


def sampling_cases() -> Iterator[Case]:
    for seed, (count, channels, size, out) in enumerate(SAMPLING_SIZES):
        image = features(count, channels, *size, seed=seed)
        at = positions(count, *out, size, seed=seed + 100)
        label = f"{count}x{channels}x{size[0]}x{size[1]} to {out[0]}x{out[1]}"
        for padding_mode in ("border", "zeros"):
            yield Case("warp", f"{label} {padding_mode}", (image, flow_to(at)), (padding_mode,))
            for align_corners in (True, False):
                grid = grid_to(at, size, align_corners)
                name = f"{label} {padding_mode} align_corners={align_corners}"
                yield Case("grid_sample", name, (image, grid), (padding_mode, align_corners))


def correlation_cases() -> Iterator[Case]:
    for seed, (*shape, radius, stride, slope, mean) in enumerate(CORRELATION_SIZES):
        pair = features(*shape, seed=seed), features(*shape, seed=seed + 50)
        name = f"{'x'.join(map(str, shape))} radius={radius} stride={stride} slope={slope} mean={mean}"
        yield Case("correlation", name, pair, (radius, stride, slope, mean))


def warp_correlation_cases() -> Iterator[Case]:
    for seed, (count, channels, size, out, radius, slope) in enumerate(WARP_CORRELATION_SIZES):
        pair = features(count, channels, *size, seed=seed), features(count, channels, *out, seed=seed + 50)
        at = positions(count, *out, size, seed=seed + 100)
        for padding_mode, align_corners in (("border", True), ("zeros", False)):
            sizes = f"{count}x{channels}x{size[0]}x{size[1]} to {out[0]}x{out[1]}"
            name = f"{sizes} radius={radius} slope={slope} {padding_mode} align_corners={align_corners}"
            options = (radius, slope, padding_mode, align_corners)
            yield Case("warp_correlation", name, (*pair, grid_to(at, size, align_corners)), options)


def sample_inputs(op: str | None = None) -> list[Case]:
    """All cases, in float64; `with_dtype` gives the others."""
    cases = (*sampling_cases(), *correlation_cases(), *warp_correlation_cases())
    chosen = [case for case in cases if op in (None, case.op) and not (SIMULATED and case.is_large())]
    return _with_few_long_ones(chosen) if INTERPRETED else chosen


def _with_few_long_ones(cases: Sequence[Case]) -> list[Case]:
    """Of the cases that sample many pixels, which the interpreter sorts for ten seconds each, the first of each op."""
    first = {case.op: case for case in reversed(cases) if case.samples_many()}
    return [case for case in cases if not case.samples_many() or case is first[case.op]]


def with_dtype(case: Case, dtype: torch.dtype) -> Case:
    """The case in another dtype; positions stay float32 at least."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    place = POSITIONS.get(case.op)
    return replace(case, tensors=tuple(t.to(wide if i == place else dtype) for i, t in enumerate(case.tensors)))


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def slice_of_wider(tensor: Tensor, layout: Callable[[Tensor], Tensor] = Tensor.contiguous) -> Tensor:
    """The same values as a view into a larger buffer full of NaN."""
    wider = layout(torch.full([size + 3 for size in tensor.shape], torch.nan, dtype=tensor.dtype))
    view = wider[tuple(slice(1, 1 + size) for size in tensor.shape)]
    return view.copy_(tensor)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": Tensor.contiguous,
    "channels_last": channels_last,
    "slice": slice_of_wider,
    "channels_last slice": partial(slice_of_wider, layout=channels_last),
    "transposed": lambda tensor: tensor.transpose(2, 3).contiguous().transpose(2, 3),
}


@dataclass(frozen=True)
class Result:
    output: Tensor
    gradients: tuple[Tensor, ...]


def in_turn(*choices: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Every combination; under the interpreter, which takes seconds a case, one for each of the first."""
    if not INTERPRETED:
        return list(product(*choices))
    first, *others = choices
    return [(item, *(other[turn % len(other)] for other in others)) for turn, item in enumerate(first)]


def to_device(tensor: Tensor, device: torch.device = DEVICE) -> Tensor:
    """The tensor on a device, with its strides and with all that lies around it in memory."""
    if tensor.device == device:
        return tensor
    memory = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())
    return memory.to(device).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def run(
    function: Callable[..., Tensor],
    tensors: tuple[Tensor, ...],
    grad_output: Tensor | None = None,
    device: torch.device = DEVICE,
) -> Result:
    """Output and gradients, on the CPU, of a function that is called with its tensors on a device.

    The output's gradient is drawn where none is given.
    """
    leaves = [to_device(tensor.detach(), device).requires_grad_() for tensor in tensors]
    output = function(*leaves)
    if grad_output is None:
        grad_output = output_gradient(output)
    gradients = torch.autograd.grad(output, leaves, to_device(grad_output.to(output.dtype), device))
    return Result(output.detach().cpu(), tuple(gradient.cpu() for gradient in gradients))


def output_gradient(output: Tensor) -> Tensor:
    return features(*output.shape, seed=7).to(output.dtype)


def assert_within_rounding(case: Case, result: Result, grad_output: Tensor) -> None:
    """Compare with the float64 reference on the same inputs, within a bound on what rounding can do.

    A sum of n terms, each at most s in size, is off by at most n * eps * (n * s) when kept in the wide dtype, and its
    storing adds eps of the stored dtype. A position of size p is off by a few eps * p, and moves a sample, whose
    neighbours lie in (-1, 1), by at most twice that.
    """
    expected = _expected(case.op, case.options, Numbers.of((*case.tensors, grad_output)))
    stored = case.tensors[0].dtype
    step = torch.finfo(torch.float64 if stored == torch.float64 else torch.float32).eps
    channels, height, width = case.tensors[0].shape[1:]

    def check(
        name: str, actual: Tensor, target: Tensor, terms: float, size: float, rounded: torch.dtype | None = None
    ) -> None:
        bound = size * (terms * step + torch.finfo(rounded or actual.dtype).eps)
        error = (actual.double() - target).abs().max().item() if target.numel() else 0.0
        assert actual.shape == target.shape, name
        assert error <= bound, f"{name}: error {error:.3g} exceeds {bound:.3g}"

    if case.op == "correlation":
        count, scale = (2 * case.options[0] + 1) ** 2, case.volume_scale
        check("output", result.output, expected.output, channels + 2, scale)
        for name, actual, target in zip(("first", "second"), result.gradients, expected.gradients, strict=True):
            check(name, actual, target, count + 2, scale * count / channels)
        return
    around = 8 * (max(height, width, *result.output.shape[2:]) + 2)  # four roundings of a position, two neighbours
    most = _most_hits(case.op, case.options, Numbers.of(case.tensors))
    scale = 1 if case.op == "warp" else max(height, width) / 2
    if case.op == "warp_correlation":
        # The warped map and its gradient are rounded once more: by half an eps each, as the result's storing is.
        count = (2 * case.options[0] + 1) ** 2
        steepest = max(1, case.negative_slope or 0)
        size = steepest * count / channels  # of the warped map's gradient
        check("output", result.output, expected.output, around + channels, steepest)
        check("first", result.gradients[0], expected.gradients[0], around + most + count, most * size)
        check("second", result.gradients[1], expected.gradients[1], around + count, size)
        terms, of_positions = around + channels + count, 2 * channels * scale * size
        check("positions", result.gradients[2], expected.gradients[2], terms, of_positions, rounded=stored)
        return
    check("output", result.output, expected.output, around, 1)
    check("input", result.gradients[0], expected.gradients[0], around + most, most)
    check("positions", result.gradients[1], expected.gradients[1], around + channels, 2 * channels * scale)


# Tests that differ only in dtype, layout or backend ask for the same numbers.
remembered = lru_cache(maxsize=500)


@dataclass(frozen=True)
class Numbers:
    """Tensors in float64, which are equal where their numbers are, however they lay in memory."""

    digest: bytes
    tensors: tuple[Tensor, ...] = field(compare=False)

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Numbers:
        wide = tuple(tensor.detach().double().cpu().contiguous() for tensor in tensors)
        digest = hashlib.sha256(repr([tensor.shape for tensor in wide]).encode())
        for tensor in wide:
            digest.update(tensor.numpy().tobytes())
        return cls(digest.digest(), wide)


@remembered
def _before_the_slope(op: str, options: tuple[Any, ...], inputs: Numbers) -> Tensor:
    """The reference's output; a volume's as it is before the leaky ReLU."""
    case = Case(op, "", inputs.tensors, options)
    if case.negative_slope is not None:
        place = SLOPES[op]
        options = (*options[:place], None, *options[place + 1 :])
    return getattr(eager, op)(*inputs.tensors, *options)


@remembered
def _expected(op: str, options: tuple[Any, ...], inputs_and_gradient: Numbers) -> Result:
    *tensors, grad_output = inputs_and_gradient.tensors
    return run(Case(op, "", tuple(tensors), options).reference, tuple(tensors), grad_output, CPU)


@remembered
def _most_hits(op: str, options: tuple[Any, ...], inputs: Numbers) -> float:
    """The largest total weight with which one pixel is sampled."""
    image, at = torch.ones_like(inputs.tensors[0]), inputs.tensors[-1]
    options = options[2:] if op == "warp_correlation" else options
    sample = eager.warp if op == "warp" else eager.grid_sample
    image.requires_grad_()
    (hits,) = torch.autograd.grad(sample(image, at, *options).sum(), image)
    return hits.abs().max().item() if hits.numel() else 0.0
