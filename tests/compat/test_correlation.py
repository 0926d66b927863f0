from __future__ import annotations

from collections.abc import Callable
from math import ceil

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import CPU, LAYOUTS, Case, features, output_gradient, run
from torch import Tensor

from tryon_kernels.compat import correlation

A, B = features(2, 3, 7, 9, seed=1), features(2, 3, 7, 9, seed=2)


def unfolded(first: Tensor, second: Tensor, radius: int, stride: int) -> Tensor:
    """The layers' formula: a pixel's neighbourhood unfolded, times the pixel, averaged over channels."""
    count, channels, height, width = first.shape
    side = 2 * radius + 1
    around = F.unfold(second, side, dilation=stride, padding=radius * stride, stride=stride)
    size = ceil(height / stride), ceil(width / stride)
    around = around.view(count, channels, side * side, *size)
    return (first[:, :, None, ::stride, ::stride] * around).mean(1)


def equal(function: Callable[..., Tensor], reference: Callable[..., Tensor], *tensors: Tensor) -> None:
    """Both have the same values and gradients, in float64."""
    ours, theirs = run(function, tensors, device=CPU), run(reference, tensors, device=CPU)
    torch.testing.assert_close(ours.output, theirs.output)
    torch.testing.assert_close(ours.gradients, theirs.gradients)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_with_a_stride_it_has_49_channels(stride: int, layout: str) -> None:
    def function(first: Tensor, second: Tensor) -> Tensor:
        return correlation.FunctionCorrelation(tenFirst=first, tenSecond=second, intStride=stride)

    equal(function, lambda a, b: unfolded(a, b, 3, stride), LAYOUTS[layout](A), LAYOUTS[layout](B))
    assert function(A, B).shape == (2, 49, ceil(7 / stride), ceil(9 / stride))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_stride_it_has_81_channels(layout: str) -> None:
    def function(first: Tensor, second: Tensor) -> Tensor:
        return correlation.FunctionCorrelation(tenOne=first, tenTwo=second)

    equal(function, lambda a, b: unfolded(a, b, 4, 1), LAYOUTS[layout](A), LAYOUTS[layout](B))
    assert function(A, B).shape == (2, 81, 7, 9)


def test_channels_count_displacements_row_by_row() -> None:
    first, second = torch.zeros(1, 2, 9, 9), torch.zeros(1, 2, 9, 9)
    first[:, :, 4, 4] = 1
    second[:, :, 5, 2] = 1  # one row down, two columns left
    volume = correlation.FunctionCorrelation(first, second, 1)
    assert volume[0, :, 4, 4].nonzero().flatten().tolist() == [(1 + 3) * 7 + (-2 + 3)]
    assert volume[0, (1 + 3) * 7 + (-2 + 3), 4, 4] == 1  # a mean


@pytest.mark.parametrize(
    ("arguments", "named", "channels"),
    [
        ((A, B), {}, 81),
        ((A, B, 1), {}, 49),
        ((A, B), {"intStride": 1}, 49),
        ((), {"tenFirst": A, "tenSecond": B}, 81),
        ((), {"tenFirst": A, "tenSecond": B, "intStride": 1}, 49),
        ((), {"tenOne": A, "tenTwo": B}, 81),
        ((), {"tenOne": A, "tenTwo": B, "intStride": 1}, 49),
        ((), {"tensorFirst": A, "tensorSecond": B, "intStride": 1}, 49),
        ((A,), {"tenTwo": B}, 81),
    ],
)
def test_module_and_function_take_all_names(arguments: tuple, named: dict, channels: int) -> None:
    volume = correlation.FunctionCorrelation(*arguments, **named)
    assert volume.shape == (2, channels, 7, 9)
    torch.testing.assert_close(volume, unfolded(A, B, 3 if channels == 49 else 4, 1))
    assert torch.equal(correlation.ModuleCorrelation()(*arguments, **named), volume)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dtypes_stay_as_they_are(dtype: torch.dtype) -> None:
    first, second = A.to(dtype), B.to(dtype)
    volume = correlation.FunctionCorrelation(first, second, 2)
    assert volume.dtype == dtype
    wide = unfolded(first.double(), second.double(), 3, 2)
    # A mean of products of numbers in (-1, 1): float32 sums, then one rounding when it is stored.
    assert (volume.double() - wide).abs().max() <= torch.finfo(dtype).eps + 5 * torch.finfo(torch.float32).eps


def test_gradients_in_low_precision_are_the_ops() -> None:
    case = Case("correlation", "radius 3", (A.bfloat16(), B.bfloat16()), (3, 1, None, True))
    gradient = output_gradient(case.public(*case.tensors))
    ours = run(lambda a, b: correlation.FunctionCorrelation(a, b, 1), case.tensors, gradient, CPU)
    expected = run(case.public, case.tensors, gradient, CPU)
    assert all(map(torch.equal, ours.gradients, expected.gradients))


def test_gradcheck() -> None:
    pair = (features(1, 2, 4, 3, seed=3).requires_grad_(), features(1, 2, 4, 3, seed=4).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: correlation.FunctionCorrelation(a, b, 2), pair)
    assert torch.autograd.gradcheck(correlation.FunctionCorrelation, pair)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: correlation.FunctionCorrelation(A), TypeError, "tenSecond: got none, expected one of tenSecond, tenT"),
        (lambda: correlation.FunctionCorrelation(), TypeError, "tenFirst: got none, expected one of"),
        (lambda: correlation.FunctionCorrelation(A, B, tenOne=A), TypeError, "tenFirst: got tenFirst and tenOne, exp"),
        (lambda: correlation.FunctionCorrelation(A, B, 0), ValueError, "stride: got 0, expected 1 or more"),
        (lambda: correlation.FunctionCorrelation(A, B[:1]), ValueError, "second: got shape 1 x 3 x 7 x 9, expected"),
        (lambda: correlation.FunctionCorrelation(A[0], B[0], 1), ValueError, "first: got shape 3 x 7 x 9, expected"),
        (lambda: correlation.FunctionCorrelation(A.long(), B.long()), TypeError, "first: got torch.int64, expected"),
        (lambda: correlation.ModuleCorrelation()(A, B, 0), ValueError, "stride: got 0"),
    ],
)
def test_refusals_are_one_line(call: Callable[[], Tensor], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
