"""Are kernels right on this device? Their values and gradients against stock torch in float64 on the CPU.

Inputs are small and drawn: odd sizes, more channels than a tile has, both paddings. Features lie in (-1, 1), positions
keep away from pixels' centres, where gradients jump. Channels are a multiple of 16, as those of most calls are: Triton
compiles other kernels where they are not, which would not serve these calls and take as long again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tryon_kernels import stock

Implementation = Callable[[str], Callable[..., Any]]  # of an op, forward or backward, by its name

COUNT, CHANNELS, SIZE, SAMPLED = 2, 80, (11, 13), (9, 18)  # H x W of maps, and of what is sampled from one
TENSORS = {"warp": 2, "grid_sample": 2, "correlation": 2, "warp_correlation": 3, "feature_distance": 2}
OUTPUTS = {"feature_distance": 2}  # of ops that have more than one
SIGNED = ("correlation", "warp_correlation")  # whose backward op is given the output, for its sign
TF32_STEP = 2.0**-10  # where the user allows TensorFloat32 for matrix products


@dataclass(frozen=True)
class Trial:
    """Arguments of one call: tensors in float64, and options."""

    tensors: tuple[Tensor, ...]
    options: tuple[Any, ...]


def wrong(implementation: Implementation, op: str, dtype: torch.dtype, channels_last: bool, device: torch.device,
          options: Sequence[Any]) -> str | None:  # fmt: skip
    """What is wrong with an implementation of an op, in one line; None where all is right.

    Raises torch.OutOfMemoryError where there is no room for so little.

    `options` are those of a call; padding and alignment are tried in two ways beside.
    """
    for trial in _trials(op, dtype, options):
        try:
            fault = _fault(implementation, op, trial, dtype, channels_last, device)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a kernel or its compiler makes go wrong
            fault = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        if fault is not None:
            return fault
    return None


def _trials(op: str, dtype: torch.dtype, options: Sequence[Any]) -> Iterator[Trial]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1).to(dtype).double()

    if op in ("correlation", "feature_distance"):
        yield Trial((draw(COUNT, CHANNELS, *SIZE), draw(COUNT, CHANNELS, *SIZE)), tuple(options))
        return
    wide = _wide(dtype)
    for padding_mode, align_corners in (("border", True), ("zeros", False)):
        image, at = draw(COUNT, CHANNELS, *SIZE), _positions(generator).to(wide).double()
        if op == "warp":
            own = torch.stack(torch.meshgrid(*map(torch.arange, SAMPLED), indexing="ij")[::-1])
            yield Trial((image, at - own), (padding_mode,))
            continue
        sizes = torch.tensor(SIZE[::-1], dtype=torch.float64).view(2, 1, 1)
        grid = 2 * at / (sizes - 1) - 1 if align_corners else (2 * at + 1) / sizes - 1
        grid = grid.permute(0, 2, 3, 1).to(wide).double()
        how = (padding_mode, align_corners)
        if op == "grid_sample":
            yield Trial((image, grid), how)
        else:
            yield Trial((image, draw(COUNT, CHANNELS, *SAMPLED), grid), (*options[:2], *how))


def _positions(generator: torch.Generator) -> Tensor:
    """N x 2 x Ho x Wo in pixels, some of them outside, each between an eighth and seven of a pixel."""
    shape = (COUNT, 2, *SAMPLED)
    whole = torch.rand(shape, generator=generator, dtype=torch.float64)
    size = torch.tensor(SIZE[::-1], dtype=torch.float64).view(2, 1, 1)
    part = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (whole * (size + 4) - 3).floor() + 0.125 + 0.75 * part


def _fault(implementation: Implementation, op: str, trial: Trial, dtype: torch.dtype, channels_last: bool,
           device: torch.device) -> str | None:  # fmt: skip
    positions_at = {"correlation": None, "feature_distance": None, "warp_correlation": 2}.get(op, 1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    tensors = tuple(
        tensor.to(device, _wide(dtype)) if index == positions_at else tensor.to(device, dtype, memory_format=layout)
        for index, tensor in enumerate(trial.tensors)
    )
    outputs = outputs_of(implementation(op)(*tensors, *trial.options))
    wanted = outputs_of(_stock(op)(*trial.tensors, *trial.options))
    for output, target in zip(outputs, wanted, strict=True):
        fault = _difference("output", output, target, op, trial, dtype)
        if fault is not None:
            return fault
    generator = torch.Generator().manual_seed(1)
    drawn = [_drawn_gradient(output, trial, generator).to(dtype).double() for output in outputs]
    along = tuple(torch.empty_like(output).copy_(gradient) for gradient, output in zip(drawn, outputs, strict=True))
    made = gradients(implementation, op, outputs, tensors, trial.options, along)
    # Where rounding has changed a value's sign, the gradient has its slope.
    exact = tuple(output.double().cpu() for output in outputs)
    expected = gradients(_stock, op, exact, trial.tensors, trial.options, tuple(drawn))
    for index, (result, target) in enumerate(zip(made, expected, strict=True)):
        fault = _difference(f"gradient {index + 1}", result, target, op, trial, dtype)
        if fault is not None:
            return fault
    return None


def _drawn_gradient(output: Tensor, trial: Trial, generator: torch.Generator) -> Tensor:
    """In (-1, 1); of a mean of all numbers as many times that, so that it is seen beside other gradients."""
    drawn = torch.rand(output.shape, generator=generator, dtype=torch.float64) * 2 - 1
    return drawn if output.dim() > 0 else drawn * trial.tensors[0].numel()


def _difference(name: str, result: Tensor, target: Tensor, op: str, trial: Trial, dtype: torch.dtype) -> str | None:
    if result.shape != target.shape:
        return f"{name}: got shape {tuple(result.shape)}, expected {tuple(target.shape)}"
    if target.numel() == 0:
        return None
    largest = target.abs().max().item()
    error = (result.double().cpu() - target).abs().max().item()
    if error <= largest * _relative_bound(op, dtype):
        return None
    return f"{name}: got an error of {error:.2g} where numbers are up to {largest:.2g}, with {trial.options}"


def _relative_bound(op: str, dtype: torch.dtype) -> float:
    """How far from the largest number of a result its numbers may be.

    A sum of n terms of any sign is off by n eps of it at most, and rarely reaches half of that. A position of size p is
    off by a few eps p, which moves a sample by twice as much. What is stored on the way and at the end, or multiplied
    as TensorFloat32, is off by half an eps of its own each time.
    """
    stored = torch.finfo(dtype).eps
    if "correlation" in op and dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32:
        stored = TF32_STEP
    return 2 * (CHANNELS + 8 * max(*SIZE, *SAMPLED)) * torch.finfo(_wide(dtype)).eps + 4 * stored


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _stock(name: str) -> Callable[..., Any]:
    return stock.implementation(name)


def outputs_of(made: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What an op returns, one or several, as several."""
    return (made,) if isinstance(made, Tensor) else made


def gradients(implementation: Implementation, op: str, outputs: Sequence[Tensor], tensors: Sequence[Tensor],
              options: Sequence[Any], grad_outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:  # fmt: skip
    """All gradients of an op."""
    needed, backward = (True for _ in tensors), implementation(f"{op}_backward")
    if op == "feature_distance":  # after ReLU its output stands in the place of the features
        (relu,), (first, *others) = options, tensors
        if not relu:
            return backward(None, grad_outputs[1], first, *others, relu, *needed)
        return backward(*grad_outputs, outputs[0], *others, relu, *needed)
    sloped = op in SIGNED and options[2 if op == "correlation" else 1] is not None
    signs = (outputs[0] if sloped else None,) if op in SIGNED else ()
    return backward(*grad_outputs, *tensors, *signs, *options, *needed)
