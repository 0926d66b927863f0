from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import ceil

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import CPU, LAYOUTS, features, run
from torch import Tensor

import tryon_kernels as tk
from tryon_kernels.compat import _dilated
from tryon_kernels.compat.flownet2 import Correlation

A, B = features(2, 3, 7, 9, seed=1), features(2, 3, 7, 9, seed=2)


def window_by_window(first: Tensor, second: Tensor, *options: int) -> Tensor:
    """The layer's formula on padded maps, one pair of windows after the other."""
    pad, kernel, most, stride1, stride2, _ = options
    first, second = (F.pad(tensor, (pad, pad, pad, pad)) for tensor in (first, second))
    reach, radius = (kernel - 1) // 2, most // stride2
    border = most + reach
    height, width = (ceil((size - 2 * border) / stride1) for size in first.shape[2:])
    moves = range(-radius * stride2, radius * stride2 + 1, stride2)

    def window(tensor: Tensor, y: int, x: int) -> Tensor:
        return tensor[:, :, y - reach : y + reach + 1, x - reach : x + reach + 1]

    values = [
        (window(first, y, x) * window(second, y + dy, x + dx)).flatten(1).sum(1) / (kernel**2 * first.shape[1])
        for dy, dx in product(moves, moves)
        for y in range(border, border + stride1 * height, stride1)
        for x in range(border, border + stride1 * width, stride1)
    ]
    return torch.stack(values, 1).view(-1, len(moves) ** 2, height, width)


FAST = (
    # pad_size, kernel_size, max_displacement, stride1, stride2, corr_multiply
    (4, 1, 4, 1, 1, 1),
    (4, 1, 4, 1, 2, 1),  # FlowNetC, of a fifth of the reach
    (3, 1, 3, 1, 2, 1),  # a displacement that is not whole steps
    (6, 1, 6, 1, 3, 1),
    (4, 1, 4, 2, 2, 1),
    (4, 1, 4, 2, 1, 1),
    (4, 1, 4, 4, 2, 1),
    (2, 1, 4, 1, 2, 1),  # a margin that has no output
    (0, 1, 2, 2, 1, 1),
    (5, 1, 2, 1, 2, 1),  # centres in the padding
    (0, 1, 0, 1, 2, 1),
)
PLAIN = (
    (3, 3, 2, 1, 1, 1),
    (4, 3, 4, 1, 2, 1),
    (1, 3, 2, 2, 2, 1),
    (4, 5, 3, 3, 2, 1),
    (6, 1, 6, 2, 3, 1),
)


def equal(options: tuple[int, ...], *tensors: Tensor) -> None:
    """Values and gradients are those of the loops, in float64."""
    actual = run(Correlation(*options), tensors, device=CPU)
    expected = run(lambda a, b: window_by_window(a, b, *options), tensors, device=CPU)
    torch.testing.assert_close(actual.output, expected.output)
    torch.testing.assert_close(actual.gradients, expected.gradients)


@pytest.mark.parametrize("options", [*FAST, *PLAIN], ids=str)
def test_values_and_gradients_are_those_of_the_loops(options: tuple[int, ...]) -> None:
    equal(options, A, B)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_any_layout(layout: str, kernel_size: int) -> None:
    equal((2, kernel_size, 2, 1, 2, 1), LAYOUTS[layout](A), LAYOUTS[layout](B))


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("stride2", [1, 2])
def test_the_memory_format_stays(kernel_size: int, stride2: int) -> None:
    module = Correlation(4, kernel_size, 4, 1, stride2, 1)
    assert module(A, B).is_contiguous()
    first, second = LAYOUTS["channels_last"](A), LAYOUTS["channels_last"](B)
    assert module(first, second).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("options", FAST, ids=str)
def test_these_are_computed_by_the_kernels(options: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dilated, "_plain", None)
    Correlation(*options)(A, B)


def test_flownetc_has_441_channels() -> None:
    module = Correlation(pad_size=20, kernel_size=1, max_displacement=20, stride1=1, stride2=2, corr_multiply=1)
    first, second = features(1, 4, 12, 15, seed=5), features(1, 4, 12, 15, seed=6)
    volume = module(first, second)
    assert volume.shape == (1, 441, 12, 15)
    # Row 5, column 8, displaced by 2 * -2 rows and 2 * 3 columns.
    channel = (-2 + 10) * 21 + (3 + 10)
    torch.testing.assert_close(volume[0, channel, 5, 8], (first[0, :, 5, 8] * second[0, :, 1, 14]).mean())


def test_pwc_nets_layer_is_the_volume() -> None:
    assert torch.equal(Correlation(4, 1, 4, 1, 1, 1)(A, B), tk.correlation(A, B, radius=4))


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradcheck(kernel_size: int) -> None:
    pair = (features(1, 2, 4, 3, seed=3).requires_grad_(), features(1, 2, 4, 3, seed=4).requires_grad_())
    assert torch.autograd.gradcheck(Correlation(3, kernel_size, 2, 1, 2, 1), pair)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_dtypes_stay_as_they_are(kernel_size: int, dtype: torch.dtype) -> None:
    first, second = A.to(dtype), B.to(dtype)
    options = (2, kernel_size, 2, 1, 2, 1)
    volume = Correlation(*options)(first, second)
    assert volume.dtype == dtype
    # A mean of products of numbers in (-1, 1): float32 sums, then one rounding when it is stored.
    bound = torch.finfo(dtype).eps + (3 * kernel_size**2 + 2) * torch.finfo(torch.float32).eps
    assert (volume.double() - window_by_window(first.double(), second.double(), *options)).abs().max() <= bound


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Correlation(20, 1, 20, 1, 2, 0), ValueError, "corr_multiply: got 0, expected 1 (products of features"),
        (lambda: Correlation(20, 2, 20, 1, 2, 1), ValueError, "kernel_size: got 2, expected an odd number"),
        (lambda: Correlation(-1, 1, 20, 1, 2, 1), ValueError, "pad_size: got -1, expected 0 or more"),
        (lambda: Correlation(20, 1, -1, 1, 2, 1), ValueError, "max_displacement: got -1, expected 0 or more"),
        (lambda: Correlation(20, 1, 20, 0, 2, 1), ValueError, "stride1: got 0, expected 1 or more"),
        (lambda: Correlation(20, 1, 20, 1, 0, 1), ValueError, "stride2: got 0, expected 1 or more"),
        (lambda: Correlation(0, 1, 20, 1, 2, 1)(A, B), ValueError, "first: got a height and width of 7 x 9, expected"),
        (lambda: Correlation(4, 1, 4)(A, B[:1]), ValueError, "second: got shape 1 x 3 x 7 x 9, expected"),
        (lambda: Correlation(4, 1, 4)(A.long(), B.long()), TypeError, "first: got torch.int64, expected"),
    ],
)
def test_refusals_are_one_line(call: Callable[[], Tensor], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
