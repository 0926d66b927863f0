"""The two warping functions that optical-flow networks carry about: PWC-Net's `warp` and RAFT's `bilinear_sampler`."""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels import functional
from tryon_kernels.checks import check_warp
from tryon_kernels.ops.library import as_positions

# What PWC-Net demands of a pixel's weights inside the image, short of 1 by what rounding may take.
_INSIDE = 0.9999


def warp(x: Tensor, flo: Tensor, *, align_corners: bool = True, mask: bool = True) -> Tensor:
    """Sample features where a flow points and blank what touches the outside: PWC-Net's `warp` (arXiv 1709.02371).

    A pixel at column i samples at v = i + flo[:, 0], rows likewise, normalised to 2 v / max(size - 1, 1) - 1,
    bilinearly and with zeros outside. With `mask`, a sample with less than 0.9999 of its weights inside is 0.

    PWC-Net was written for a torch whose `grid_sample` aligned corners, as that normalisation supposes. Since 1.3
    torch's default is otherwise, and the same code silently samples at v * size / (size - 1) - 1/2:
    `align_corners=False` is for networks trained that way.

    Args:
        x: B x C x H x W, float16, bfloat16, float32 or float64, any strides.
        flo: B x 2 x H x W, displacement in pixels, channel 0 is x; the dtypes of `tryon_kernels.warp`.
        align_corners: whether v counts pixels, as it was meant.
        mask: whether samples that touch the outside are blanked; variants without a mask keep the part inside.

    Returns:
        B x C x H x W in the dtype and memory format of x. The mask has no gradient. A displacement that is not finite
        samples nothing. Where v is a whole number, which a flow of 0 makes everywhere, the flow's gradient is that of
        the pixel to the right of it (below it), where the normalisation's rounding would choose a side.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size or device does not fit.
    """
    if x.dim() == 4 and flo.dim() == 4 and flo.shape[2:] != x.shape[2:]:
        height, width = x.shape[2:]
        raise ValueError(f"flo: got height and width {tuple(flo.shape[2:])}, expected those of x, {(height, width)}")
    flow = as_positions(flo)
    check_warp(x, flow, "zeros")
    output = _sample(x, flow, align_corners)
    if not mask:
        return output
    with torch.no_grad():
        ones = flow.new_ones(1, 1, 1, 1).expand(x.shape[0], 1, *x.shape[2:])
        inside = _sample(ones, flow.detach(), align_corners) >= _INSIDE
    return output * inside.to(x.dtype)


def bilinear_sampler(
    img: Tensor, coords: Tensor, mode: str = "bilinear", mask: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Sample an image bilinearly at pixel positions, with zeros outside: the function of RAFT (arXiv 2003.12039).

    Args:
        img: B x C x H x W, float16, bfloat16, float32 or float64, any strides.
        coords: B x Ho x Wo x 2, positions (x, y) in pixels of img; the dtypes of the flow of `tryon_kernels.warp`.
        mode: "bilinear". RAFT's own takes any word and samples bilinearly all the same.
        mask: whether to return the mask too.

    Returns:
        B x C x Ho x Wo in the dtype and memory format of img; with `mask` also B x Ho x Wo x 1 in float32, 1 where the
        position, normalised to 2 v / (size - 1) - 1, lies strictly between -1 and 1 in both axes, else 0. In an image
        of one row or column, where RAFT's own divides by 0, positions count pixels as elsewhere, and the mask is 0.

    Raises:
        TypeError: a dtype does not fit.
        ValueError: a rank, size, device or the mode does not fit.
    """
    if mode != "bilinear":
        raise ValueError(f'mode: got "{mode}", expected "bilinear"')
    if coords.dim() != 4 or coords.shape[3] != 2:
        raise ValueError(f"coords: got shape {tuple(coords.shape)}, expected B x Ho x Wo x 2")
    coords = as_positions(coords)
    displacement = (coords - _pixel_positions(coords, *coords.shape[1:3])).permute(0, 3, 1, 2)
    output = functional.warp(img, displacement, padding_mode="zeros")
    if not mask:
        return output
    normalised = 2 * coords / (_sizes(img, coords) - 1) - 1
    return output, ((normalised > -1) & (normalised < 1)).all(-1, keepdim=True).float()


def _sample(x: Tensor, flow: Tensor, align_corners: bool) -> Tensor:
    """Sample B x C x H x W at each pixel's position plus the flow, with zeros outside."""
    # An image of one row or column has one normalised position for all pixels, which only the grid knows of.
    if align_corners and min(x.shape[2:]) > 1:
        return functional.warp(x, flow, padding_mode="zeros")
    positions = flow.permute(0, 2, 3, 1) + _pixel_positions(flow, *flow.shape[2:])
    grid = 2 * positions / (_sizes(x, flow) - 1).clamp(min=1) - 1
    return functional.grid_sample(x, grid, padding_mode="zeros", align_corners=align_corners)


def _pixel_positions(like: Tensor, height: int, width: int) -> Tensor:
    """Each pixel's own position (x, y), height x width x 2."""
    columns = torch.arange(width, dtype=like.dtype, device=like.device)
    rows = torch.arange(height, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)


def _sizes(image: Tensor, like: Tensor) -> Tensor:
    """Width and height of an image as two numbers in the dtype and on the device of positions."""
    return like.new_tensor([image.shape[3], image.shape[2]])
