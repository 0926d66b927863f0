"""The gradient of a sampled image, added up in one order.

A cell is the square between four neighbouring pixels of an image; around the image there is one more row and column of
cells, of which some pixels are outside. An output pixel's position lies in one cell, and the pixels at its corners are
its taps, so a pixel's gradient comes from the four cells around it. Of an image with the pixels a, b, c and d:

    +---+---+---+
    | 0 | 1 | 2 |
    +---a---b---+
    | 3 | 4 | 5 |      cells are numbered along rows, one image after the other
    +---c---d---+
    | 6 | 7 | 8 |
    +---+---+---+

The output pixels are sorted by cell, within a cell in their own order, and each pixel of the image goes through its
four cells in this order. So that nobody waits long for a pixel whose cells have many output pixels, the sorted
ones are cut into chunks of `CHUNK`: where all of a chunk lie in one cell, what they give to its corners is added up
before, by as many programs as there are chunks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tryon_kernels.gpu.kernels import CHUNK, Kernels

MOST = torch.iinfo(torch.int32).max - CHUNK  # of output pixels, and of cells


def differentiate_in_order(
    kernels: Kernels, grad_output: Tensor, positions: Tensor, gradient: Tensor, coordinates: int, border: bool
) -> None:
    """Write the image's gradient, the same bits each time; none of the tensors is empty."""
    count, channels, height, width = gradient.shape
    pixels, device = positions[:, 0].numel(), positions.device
    outside = count * (height + 1) * (width + 1)  # in the place of a cell where no tap is within the image
    check_cells(pixels, outside)
    cells = torch.empty(pixels, dtype=torch.int32, device=device)
    fractions = torch.empty(pixels, 2, dtype=positions.dtype, device=device)
    kernels.find_cells(positions, cells, fractions, height, width, outside, coordinates, border)
    cells, order = cells.sort(stable=True)
    ordered_fractions = torch.empty_like(fractions)
    places = torch.empty(pixels, 2, dtype=torch.int32, device=device)
    sums = torch.empty(-(-pixels // CHUNK), 4, channels, dtype=positions.dtype, device=device)
    kernels.order_samples(grad_output, cells, order, fractions, ordered_fractions, places, sums, outside)
    every = torch.arange(outside + 1, dtype=torch.int32, device=device)
    starts = torch.searchsorted(cells, every, out_int32=True)
    kernels.sum_cells(grad_output, starts, ordered_fractions, places, sums, gradient)


def check_cells(pixels: int, cells: int) -> None:
    """Cells and ranks are 32-bit numbers: to sort more would take more memory than a GPU has."""
    for name, count, what in (("positions", pixels, "output pixels"), ("input", cells, "cells between pixels")):
        if count > MOST:
            raise ValueError(
                f"{name}: got {count} {what}, expected {MOST} or fewer for a deterministic gradient on a GPU"
            )
