"""The interface of FlowNet2's `correlation_package`, on `tryon_kernels.correlation`."""

from __future__ import annotations

from torch import Tensor, nn

from tryon_kernels.compat._dilated import Axis, correlate
from tryon_kernels.eager import memory_format_of


class Correlation(nn.Module):
    """Correlation layer of FlowNetC (arXiv 1504.06852), with the options of FlowNet2's `correlation_package`.

    Both maps are padded by pad_size with zeros. With k = (kernel_size - 1) // 2, r = max_displacement // stride2 and
    the border b = max_displacement + k,

    output[n, (dy + r) * (2 * r + 1) + (dx + r), i, j] = mean over c and u, v = -k .. k of
    input1[n, c, y + u, x + v] * input2[n, c, y + u + stride2 * dy, x + v + stride2 * dx],

    y = b + stride1 * i and x = b + stride1 * j being rows and columns of the padded maps, dy and dx from -r to r.
    Gradients are those of this formula, whatever the kernel size and the strides.

    Of a kernel size above 1 there are two readings: FlowNet's, which this is, and that of FlowNet2's CUDA code, whose
    windows lie k pixels further up and left (y = max_displacement + stride1 * i), the first of them partly outside
    its padded maps. With kernel_size 1, as in FlowNetC and PWC-Net, they are the same.

    `tryon_kernels.correlation` computes it with kernel_size 1 where of stride1 and stride2 one is a multiple of the
    other, as in FlowNetC (20, 1, 20, 1, 2) and PWC-Net (4, 1, 4, 1, 1); all else is computed by plain torch operations.

    Args:
        pad_size: rows and columns of zeros around both maps, 0 or more.
        kernel_size: pixels of a window's side, an odd number.
        max_displacement: largest displacement in pixels, 0 or more; it is rounded down to whole stride2, the border
            is not.
        stride1: pixels from centre to centre, 1 or more.
        stride2: pixels from displacement to displacement, 1 or more.
        corr_multiply: 1, for products of features, which FlowNet2's CUDA code computes whatever this says.

    Raises:
        ValueError: a number does not fit.
    """

    def __init__(
        self,
        pad_size: int = 0,
        kernel_size: int = 1,
        max_displacement: int = 0,
        stride1: int = 1,
        stride2: int = 2,
        corr_multiply: int = 1,
    ) -> None:
        super().__init__()
        _check_least(pad_size=pad_size, max_displacement=max_displacement, least=0)
        _check_least(kernel_size=kernel_size, stride1=stride1, stride2=stride2, least=1)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: got {kernel_size}, expected an odd number")
        if corr_multiply != 1:
            raise ValueError(f"corr_multiply: got {corr_multiply}, expected 1 (products of features)")
        self.pad_size = pad_size
        self.kernel_size = kernel_size
        self.max_displacement = max_displacement
        self.stride1 = stride1
        self.stride2 = stride2
        self.corr_multiply = corr_multiply

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Correlate two maps.

        Args:
            input1: N x C x H x W, float16, bfloat16, float32 or float64, any strides. Messages call it first.
            input2: like input1. Messages call it second. Under autocast both are lowered to its dtype.

        Returns:
            N x (2 r + 1)^2 x Ho x Wo in the dtype and memory format of input1, with
            Ho = ceil((H + 2 * pad_size - 2 * b) / stride1) and Wo likewise; r and b are those of the class.

        Raises:
            TypeError: a dtype does not fit.
            ValueError: a rank, size or device does not fit.
        """
        # The first window begins at row b - k of the padded map.
        axis = Axis(
            start=self.max_displacement - self.pad_size,
            stride=self.stride1,
            window=self.kernel_size,
            dilation=1,
            patch=2 * (self.max_displacement // self.stride2) + 1,
            step=self.stride2,
        )
        volume = correlate(input1, input2, axis, axis, reduction="mean").flatten(1, 2)
        return volume.contiguous(memory_format=memory_format_of(input1))


def _check_least(least: int, **numbers: int) -> None:
    """Refuse numbers that are too small."""
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name}: got {number}, expected {least} or more")
