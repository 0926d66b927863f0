"""The interface of the CuPy correlation of pytorch-pwc, LiteFlowNet and flow-based try-on networks."""

# ruff: noqa: N802, N803 - the names are those that existing code calls

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tryon_kernels import functional


def FunctionCorrelation(
    tenFirst: Tensor | None = None,
    tenSecond: Tensor | None = None,
    intStride: int | None = None,
    *,
    tenOne: Tensor | None = None,
    tenTwo: Tensor | None = None,
    tensorFirst: Tensor | None = None,
    tensorSecond: Tensor | None = None,
) -> Tensor:
    """Correlation volume of two maps: the mean over channels of products of displaced features, zeros outside.

    Two layers go by this name, and whether a stride is given tells them apart, by position or as `intStride`:

    - With a stride, as in PF-AFN, Flow-Style-VTON, GP-VTON, RMGN, DM-VTON and LiteFlowNet: displacements of up to 3
      strides, hence 49 channels, at every stride-th row and column.
    - Without one, as in pytorch-pwc: displacements of up to 4 pixels, hence 81 channels, at every pixel.

    In both, channel (dy + r) * (2 * r + 1) + (dx + r) has the displacement of dy rows and dx columns, r being 3 or 4.
    The leaky ReLU that usually follows stays with the caller. It is `tryon_kernels.correlation` by other names.

    Args:
        tenFirst: N x C x H x W, float16, bfloat16, float32 or float64, any strides, on any device.
        tenSecond: like tenFirst.
        intStride: pixels between centres and between displacements, 1 or more; None for the layer without a stride.
        tenOne: another name of tenFirst; exactly one of them is given.
        tenTwo: another name of tenSecond.
        tensorFirst: another name of tenFirst.
        tensorSecond: another name of tenSecond.

    Returns:
        N x 49 x ceil(H / intStride) x ceil(W / intStride), or N x 81 x H x W, in the dtype and memory format of the
        first map.

    Raises:
        TypeError: a map is missing or given twice, or a dtype does not fit.
        ValueError: a rank, size, device or number does not fit.
    """
    first = _only(tenFirst=tenFirst, tenOne=tenOne, tensorFirst=tensorFirst)
    second = _only(tenSecond=tenSecond, tenTwo=tenTwo, tensorSecond=tensorSecond)
    if intStride is None:
        return functional.correlation(first, second, radius=4)
    return functional.correlation(first, second, radius=3, stride=intStride)


class ModuleCorrelation(nn.Module):
    """`FunctionCorrelation` as a module without options."""

    def forward(self, *arguments: Any, **named: Any) -> Tensor:
        """Take what `FunctionCorrelation` takes and return what it returns."""
        return FunctionCorrelation(*arguments, **named)


def _only(**maps: Tensor | None) -> Tensor:
    """The one map that was given under one of these names."""
    given = {name: tensor for name, tensor in maps.items() if tensor is not None}
    if len(given) != 1:
        raise TypeError(f"{next(iter(maps))}: got {' and '.join(given) or 'none'}, expected one of {', '.join(maps)}")
    return next(iter(given.values()))
