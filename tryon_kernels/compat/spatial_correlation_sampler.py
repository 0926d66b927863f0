"""The interface of the package `spatial_correlation_sampler`, on `tryon_kernels.correlation`."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn

from tryon_kernels.compat._dilated import Axis, correlate

Pair: TypeAlias = int | tuple[int, int] | list[int]


def spatial_correlation_sample(
    input1: Tensor,
    input2: Tensor,
    kernel_size: Pair = 1,
    patch_size: Pair = 1,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    dilation_patch: Pair = 1,
) -> Tensor:
    """Correlate the windows of one map with those around the same place in another: a sum, over channels too.

    output[n, p, q, h, w] = sum over c, i, j of input1[n, c, y, x] * input2[n, c, y + dy, x + dx] with
    y = stride * h - padding + dilation * i, dy = dilation_patch * (p - (patch_size - 1) // 2), x and dx likewise from
    w, j and q, and zeros outside either map. An even patch has one displacement more below and to the right. Sums are
    float32 at least, and rounded once.

    `tryon_kernels.correlation` computes it where windows have one pixel, where of stride and dilation_patch one is a
    multiple of the other, and where the patch is so nearly square that its squared longer side (rounded up to an odd
    number) is at most 4 times its area. All else, a window of more pixels or a patch of one row above all, is
    computed by plain torch operations.

    Args:
        input1: N x C x H x W, float16, bfloat16, float32 or float64, any strides. Messages call it first.
        input2: like input1. Messages call it second. Under autocast both are lowered to its dtype.
        kernel_size: pixels of a window. This and each of the following is a number, or a pair (vertical, horizontal).
        patch_size: number of displacements.
        stride: pixels from window to window.
        padding: rows and columns of zeros around both maps.
        dilation: pixels from one pixel of a window to the next.
        dilation_patch: pixels from displacement to displacement.

    Returns:
        N x patch_size x patch_size x Ho x Wo, contiguous, in the dtype of input1, with
        Ho = (H + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1 and Wo likewise.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size, device or number does not fit.
    """
    kernel_sizes = _pair("kernel_size", kernel_size)
    patch_sizes = _pair("patch_size", patch_size)
    strides = _pair("stride", stride)
    paddings = _pair("padding", padding, least=0)
    dilations = _pair("dilation", dilation)
    steps = _pair("dilation_patch", dilation_patch)
    rows, columns = (
        Axis(-paddings[i], strides[i], kernel_sizes[i], dilations[i], patch_sizes[i], steps[i]) for i in (0, 1)
    )
    # Contiguous, because users go on with view(N, patch * patch, Ho, Wo).
    return correlate(input1, input2, rows, columns, reduction="sum").contiguous()


class SpatialCorrelationSampler(nn.Module):
    """`spatial_correlation_sample` as a module; see there for the options."""

    def __init__(
        self,
        kernel_size: Pair = 1,
        patch_size: Pair = 1,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        dilation_patch: Pair = 1,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.patch_size = patch_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.dilation_patch = dilation_patch

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Correlate two N x C x H x W maps; N x patch_size x patch_size x Ho x Wo."""
        return spatial_correlation_sample(
            input1,
            input2,
            self.kernel_size,
            self.patch_size,
            self.stride,
            self.padding,
            self.dilation,
            self.dilation_patch,
        )


def _pair(name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    """An option as (vertical, horizontal)."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(each, int) and each >= least for each in pair):
        raise ValueError(f"{name}: got {value}, expected a whole number of {least} or more, or a pair of them")
    return pair
