from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import CPU, LAYOUTS, features, run
from torch import Tensor

import tryon_kernels as tk
from tryon_kernels.compat import _dilated
from tryon_kernels.compat.spatial_correlation_sampler import SpatialCorrelationSampler, spatial_correlation_sample

A, B = features(2, 3, 5, 6, seed=1), features(2, 3, 5, 6, seed=2)
NAMES = ("kernel_size", "patch_size", "stride", "padding", "dilation", "dilation_patch")
DEFAULTS = dict(zip(NAMES, (1, 1, 1, 0, 1, 1), strict=True))


def pixel_by_pixel(first: Tensor, second: Tensor, **options: Any) -> Tensor:
    """What the package's layer computes, one product of two pixels after the other."""
    pairs = {name: (value, value) if isinstance(value, int) else value for name, value in (DEFAULTS | options).items()}
    kernel, patch, stride, padding, dilation, dilation_patch = (pairs[name] for name in NAMES)
    limits = first.shape[2:]
    sizes = [(limits[a] + 2 * padding[a] - (dilation[a] * (kernel[a] - 1) + 1)) // stride[a] + 1 for a in (0, 1)]
    nothing = 0 * (first + second).flatten(1).sum(1)  # that gradients can be asked of
    values = []
    for *displaced, h, w in product(*map(range, (*patch, *sizes))):
        total = nothing
        for taps in product(*map(range, kernel)):
            at = [(h, w)[a] * stride[a] - padding[a] + taps[a] * dilation[a] for a in (0, 1)]
            to = [at[a] + (displaced[a] - (patch[a] - 1) // 2) * dilation_patch[a] for a in (0, 1)]
            if all(0 <= at[a] < limits[a] and 0 <= to[a] < limits[a] for a in (0, 1)):
                total = total + (first[:, :, at[0], at[1]] * second[:, :, to[0], to[1]]).sum(1)
        values.append(total)
    return torch.stack(values, 1).view(-1, *patch, *sizes)


def equal(options: dict[str, Any], *tensors: Tensor) -> None:
    """Function and module have the values and gradients of the loops, in float64."""
    expected = run(lambda a, b: pixel_by_pixel(a, b, **options), tensors, device=CPU)
    for function in (lambda a, b: spatial_correlation_sample(a, b, **options), SpatialCorrelationSampler(**options)):
        actual = run(function, tensors, device=CPU)
        torch.testing.assert_close(actual.output, expected.output)
        torch.testing.assert_close(actual.gradients, expected.gradients)
        assert actual.output.is_contiguous()


# By `tryon_kernels.correlation`, whatever the map's size.
FAST: tuple[dict[str, Any], ...] = (
    {},
    {"patch_size": 3},
    {"patch_size": 5, "padding": 1},
    {"patch_size": 2},
    {"patch_size": 4, "stride": 2},
    {"patch_size": (3, 2)},
    {"patch_size": 3, "dilation_patch": 2},
    {"patch_size": 4, "dilation_patch": 3, "padding": 2},
    {"patch_size": 3, "dilation_patch": (1, 2), "stride": (2, 1)},
    {"patch_size": 3, "stride": 2, "dilation_patch": 2},
    {"patch_size": 5, "stride": 3},
    {"patch_size": 3, "stride": 4, "dilation_patch": 2, "padding": (3, 0)},
    {"patch_size": 3, "stride": 2, "dilation_patch": 4},
    {"patch_size": 2, "stride": 9, "padding": 5},
    {"patch_size": (5, 3), "padding": (1, 2), "stride": (2, 3)},
    {"patch_size": 3, "dilation": 4},  # between pixels of a window, of which there is one
    {"patch_size": 9},  # further than the map
)
# By plain torch operations.
PLAIN: tuple[dict[str, Any], ...] = (
    {"kernel_size": 3},
    {"kernel_size": 3, "patch_size": 3, "padding": 1},
    {"kernel_size": 2, "patch_size": 2, "stride": 2},
    {"kernel_size": (1, 3), "patch_size": (2, 3), "padding": (0, 1), "dilation": 2},
    {"kernel_size": 2, "patch_size": 3, "dilation": (3, 2), "dilation_patch": 2, "padding": 2, "stride": (1, 2)},
    {"patch_size": (1, 7)},
    {"patch_size": 3, "stride": 2, "dilation_patch": 3},
    {"kernel_size": 2, "patch_size": 2, "stride": 30, "padding": 9},  # the one window lies outside
)


@pytest.mark.parametrize("options", [*FAST, *PLAIN], ids=str)
def test_values_and_gradients_are_those_of_the_loops(options: dict[str, Any]) -> None:
    equal(options, A, B)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel_size", [1, 2])
def test_any_layout(layout: str, kernel_size: int) -> None:
    options = {"kernel_size": kernel_size, "patch_size": 3, "padding": 1, "dilation_patch": 2}
    equal(options, LAYOUTS[layout](A), LAYOUTS[layout](B))


@pytest.mark.parametrize("options", FAST, ids=str)
def test_these_are_computed_by_the_kernels(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dilated, "_plain", None)
    spatial_correlation_sample(A, B, **options)


@pytest.mark.parametrize("options", FAST, ids=str)
def test_the_plain_form_is_the_same(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = spatial_correlation_sample(A, B, **options)
    monkeypatch.setattr(_dilated, "_suits_kernels", lambda axes: False)
    torch.testing.assert_close(spatial_correlation_sample(A, B, **options), expected)


def test_it_is_the_volume_times_the_channels() -> None:
    volume = spatial_correlation_sample(A, B, patch_size=7).view(2, 49, 5, 6)
    torch.testing.assert_close(volume, tk.correlation(A, B, radius=3) * 3)
    torch.testing.assert_close(volume, tk.correlation(A, B, radius=3, reduction="sum"))


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradcheck(kernel_size: int) -> None:
    pair = (features(1, 2, 4, 3, seed=3).requires_grad_(), features(1, 2, 4, 3, seed=4).requires_grad_())
    module = SpatialCorrelationSampler(kernel_size, patch_size=(2, 3), padding=1, dilation_patch=2)
    assert torch.autograd.gradcheck(module, pair)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_dtypes_stay_as_they_are(kernel_size: int, dtype: torch.dtype) -> None:
    first, second = A.to(dtype), B.to(dtype)
    options = {"kernel_size": kernel_size, "patch_size": 3, "padding": 1}
    volume = spatial_correlation_sample(first, second, **options)
    assert volume.dtype == dtype
    exact = pixel_by_pixel(first.double(), second.double(), **options)
    assert_rounded_once(volume, exact, terms=3 * kernel_size**2, size=3 * kernel_size**2)


def assert_rounded_once(actual: Tensor, exact: Tensor, terms: int, size: float) -> None:
    """A sum of so many float32 terms, of such a size in all, was stored once: at the nearest number of its dtype."""
    info = torch.finfo(actual.dtype)
    stored = exact.abs() * info.eps / 2 + info.smallest_normal * info.eps / 2
    summed = size * (terms + 2) * torch.finfo(torch.float32).eps
    assert ((actual.double() - exact).abs() <= stored + summed * (1 + info.eps)).all()


def assert_half_is_rounded_once(
    first: Tensor, second: Tensor, grad: float, kernel_size: int, terms: int, size: float
) -> None:
    """Values and gradients of float16 maps; in a window are so many products that are not 0, of such a size in all."""

    def function(a: Tensor, b: Tensor) -> Tensor:
        return spatial_correlation_sample(a, b, kernel_size, patch_size=3, padding=kernel_size // 2)

    def results(dtype: torch.dtype) -> tuple[Tensor, ...]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (first, second)]
        output = function(*leaves)
        return output.detach(), *torch.autograd.grad(output, leaves, torch.full_like(output, grad))

    first, second = first.half(), second.half()
    (output, *gradients), (exact, *exact_gradients) = results(torch.float16), results(torch.float64)
    assert_rounded_once(output, exact, terms, size)
    weights = 9 * kernel_size**2  # of a pixel's gradient
    largest = max(first.abs().max().item(), second.abs().max().item())
    for gradient, wanted in zip(gradients, exact_gradients, strict=True):
        assert_rounded_once(gradient, wanted, weights, weights * grad * largest)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_half_sums_and_gradients_are_of_the_sums_size_and_not_the_means(kernel_size: int) -> None:
    maps, terms = torch.full((1, 1024, 3, 4), 0.1), 1024 * kernel_size**2
    assert_half_is_rounded_once(maps, maps, 100.0, kernel_size, terms, size=terms * 0.01)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_half_sums_of_normalised_features_keep_their_digits(kernel_size: int) -> None:
    # Of many channels few are not 0, so that float32 sums are all but exact.
    first, second = (F.normalize(features(1, 8, 4, 5, seed=seed), dim=1) for seed in (1, 2))
    first, second = (F.pad(tensor, (0, 0, 0, 0, 0, 4088)) for tensor in (first, second))
    assert_half_is_rounded_once(first, second, 1.0, kernel_size, 8 * kernel_size**2, size=kernel_size**2)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_autocast_lowers_the_maps(kernel_size: int) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        volume = spatial_correlation_sample(A.float(), B.bfloat16(), kernel_size, patch_size=3)
    assert volume.dtype == torch.bfloat16


def test_no_images_give_no_volumes() -> None:
    for kernel_size in (1, 3):
        assert spatial_correlation_sample(A[:0], B[:0], kernel_size, 3).shape[:3] == (0, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: spatial_correlation_sample(A, B, kernel_size=0), ValueError, "kernel_size: got 0, expected a whole"),
        (lambda: spatial_correlation_sample(A, B, patch_size=(3, 0)), ValueError, "patch_size: got (3, 0), expected"),
        (lambda: spatial_correlation_sample(A, B, stride=1.5), ValueError, "stride: got 1.5, expected a whole number"),
        (lambda: spatial_correlation_sample(A, B, padding=-1), ValueError, "padding: got -1, expected a whole number"),
        (lambda: spatial_correlation_sample(A, B, dilation=(1, 1, 1)), ValueError, "dilation: got (1, 1, 1), expected"),
        (lambda: SpatialCorrelationSampler(dilation_patch=0)(A, B), ValueError, "dilation_patch: got 0, expected"),
        (lambda: spatial_correlation_sample(A, B, 7), ValueError, "first: got a height and width of 5 x 6, expected"),
        (lambda: spatial_correlation_sample(A, B[:, :1]), ValueError, "second: got shape 2 x 1 x 5 x 6, expected"),
        (lambda: spatial_correlation_sample(A[0, 0, 0], B), ValueError, "first: got shape 6, expected N x C x H x W"),
        (lambda: spatial_correlation_sample(A, B.float()), TypeError, "second: got torch.float32, expected"),
    ],
)
def test_refusals_are_one_line(call: Callable[[], Tensor], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
