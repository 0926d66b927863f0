"""What the GPU kernels read, write and compute on paper, as their blocks and tiles do it.

Counted are bytes to and from memory, and bytes that blocks ask of the second-level cache. Nothing is taken to be found
in the first-level cache. In the second one all that is asked for again is, unless something else is said.
"""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import torch

from benchmarks.gpu_work import BATCH, SIDE, Maps, Work, least
from benchmarks.inputs import DTYPES, PYRAMID_CHANNELS, RADIUS
from tryon_kernels.triton.cells import gradient_tile as cell_gradient_tile
from tryon_kernels.triton.tiles import NVIDIA, CorrelationTile, gradient_tile, volume_tile

DEVICE_CODE = Path(__file__).parents[1] / "csrc/cuda/device"
TAPS = 4

# Bytes that torch's own operations around differentiate_input (tryon_kernels/gpu/sampling.py) read and write for each
# number of a gradient: sums set to zero, and the conversion of those that are not float32. A test counts them.
AROUND_SUMS = {"fp32": 4, "bf16": 10}

# Bytes that they read and write between the kernels of the deterministic gradient (tryon_kernels/gpu/cells.py), for
# each output pixel and for each cell: the sort and the search. A test counts them.
AROUND_PIXELS, AROUND_CELLS = 20, 12
# What the sort moves besides, for each output pixel: a radix sort by 8 of 32 bits at a time, of numbers and 64-bit
# indices. The indices are written first, the numbers counted once, and all goes to memory and back between 4 passes.
INSIDE_SORT = 2 * 8 + 4 + 3 * 2 * (4 + 8)
# The three kernels, for each output pixel: its cell and fractions written; its number, fractions and place read and
# the latter two written in order; and read.
SAMPLE_BYTES = 8 + 8  # fractions and place
IN_KERNELS = (4 + 8) + (8 + 8) + SAMPLE_BYTES + SAMPLE_BYTES


@cache
def constant(name: str) -> int:
    """A number that the CUDA kernels' source states."""
    source = "\n".join(path.read_text() for path in sorted(DEVICE_CODE.glob("*.cuh")))
    match = re.search(rf"\b{name} = (\d+)[;,]", source)
    if match is None:
        raise ValueError(f"{DEVICE_CODE}: no constant {name}")
    return int(match[1])


def inside(start: int, count: int, size: int) -> int:
    """How many of so many places from `start` on are in [0, size)."""
    return max(min(start + count, size) - max(start, 0), 0)


def sampling(kernel: str, maps: Maps) -> Work:
    """Either backend: a pixel's four taps are read, or added to, by its own block."""
    work = least(kernel, maps)
    if kernel in ("sample", "gradient of positions"):
        return Work(work.memory, work.memory + (TAPS - 1) * maps.features, work.flops)
    sums, around = maps.numbers * 4, maps.numbers * AROUND_SUMS[maps.dtype_name]
    reads = maps.features + maps.positions
    # Sums are taken to come from memory and to go back there once: one of the larger sizes' fills the cache.
    return Work(reads + 2 * sums + around, reads + TAPS * sums + around, work.flops)


def in_order(backend: str, maps: Maps) -> Work:
    """The deterministic gradient of the input: a pixel's program, or threads, go over its four cells."""
    work, cells = least("gradient of input, deterministic", maps), BATCH * (maps.height + 1) * (maps.width + 1)
    pixels = maps.pixels * (AROUND_PIXELS + INSIDE_SORT + IN_KERNELS)
    memory = work.memory + pixels + cells * (AROUND_CELLS + 4)
    # A pixel's samples, and the first ranks of its cells, are asked for with each part of its channels.
    parts = 1 if backend == "cuda" else PYRAMID_CHANNELS // _gradient_channels(maps)
    again = maps.pixels * ((parts * TAPS - 1) * SAMPLE_BYTES + parts * 2 * TAPS * 4)
    return Work(memory, memory + again + (TAPS - 1) * maps.features, work.flops)


def triton_volume(maps: Maps, sampled: bool) -> Work:
    """A program: a tile of centres, a part of the window, all channels."""
    features = _features(maps)
    tile, needed = volume_tile(features, NVIDIA), least("warp_correlation" if sampled else "correlation", maps)
    tiles, around = _around_tiles(maps, tile.rows, tile.columns, _reach(tile))
    parts = tile.parts(SIDE)
    centres = parts * maps.features * (TAPS if sampled else 1)
    positions = parts * maps.positions if sampled else 0
    cache = centres + around * PYRAMID_CHANNELS * maps.item + positions + maps.volume
    flops = parts * maps.sampling if sampled else 0
    tensor_flops = 2 * tiles * parts * _pairs(tile) * PYRAMID_CHANNELS * _products(maps)
    return Work(needed.memory, cache, flops, tensor_flops)


def triton_gradient(maps: Maps, sampled: bool, leaky: bool) -> Work:
    """A program: a tile of centres, all channels one step after the other; a half format's leaky ReLU has two products.

    What is sampled is sampled before, to memory.
    """
    tile, volumes = gradient_tile(_features(maps), leaky, NVIDIA), 2 if leaky else 1
    tiles, around = _around_tiles(maps, tile.rows, tile.columns, _reach(tile))
    weights = tile.parts(SIDE) * volumes * maps.volume
    split = 2 if leaky and maps.item == 2 else 1
    tensor_flops = 2 * tiles * tile.parts(SIDE) * split * _pairs(tile) * PYRAMID_CHANNELS * _products(maps)
    memory = _gradient_memory(maps, False, leaky)
    work = Work(memory, weights + around * PYRAMID_CHANNELS * maps.item + maps.features, 0, tensor_flops)
    return work + sampling("sample", maps) if sampled else work


def cuda_volume(maps: Maps, sampled: bool) -> Work:
    """A block: a tile of rows and columns, all displacements, all channels; products without tensor cores."""
    rows, columns = 2 * constant("kDown"), constant("kAcross") * constant("kPixels")
    tiles, around = _around_tiles(maps, rows, columns, (SIDE, SIDE))
    centres = maps.features * (TAPS if sampled else 1)
    cache = centres + around * PYRAMID_CHANNELS * maps.item + (maps.positions if sampled else 0) + maps.volume
    # Threads for all rows around a group of two rows compute pairs outside of the window too.
    products = 2 * tiles * rows * columns * (SIDE + 1) * SIDE * PYRAMID_CHANNELS
    needed = least("warp_correlation" if sampled else "correlation", maps)
    return Work(needed.memory, cache, (maps.sampling if sampled else 0) + products)


def cuda_gradient(maps: Maps, sampled: bool, leaky: bool) -> Work:
    """A block: a tile of rows and columns, all displacements, all channels one chunk after the other."""
    side = constant("kGatherTile")
    tiles, around = _around_tiles(maps, side, side, (SIDE, SIDE))
    weights = (2 if leaky else 1) * maps.volume + (around / maps.pixels * maps.positions if sampled else 0)
    features = around * PYRAMID_CHANNELS * maps.item * (TAPS if sampled else 1)
    products = 2 * tiles * side**2 * SIDE**2 * PYRAMID_CHANNELS
    flops = around / maps.pixels * maps.sampling if sampled else 0
    return Work(_gradient_memory(maps, sampled, leaky), weights + features + maps.features, flops + products)


def ours(backend: str, kernel: str, maps: Maps) -> Work:
    """What a backend's kernel moves and computes; of several kernels, the sum."""
    volume, gradient = {"cuda": (cuda_volume, cuda_gradient), "triton": (triton_volume, triton_gradient)}[backend]
    if "correlation" in kernel:
        return volume(maps, sampled=kernel == "warp_correlation")
    if kernel in ("gradient of first", "gradient of second"):
        return gradient(maps, sampled=False, leaky=False)
    if kernel == "gradient of input, deterministic":
        return in_order(backend, maps)
    if kernel != "its three gradients":
        return sampling(kernel, maps)
    of_maps = gradient(maps, sampled=True, leaky=True) + gradient(maps, sampled=False, leaky=True)
    return of_maps + sampling("gradient of positions", maps) + sampling("gradient of input", maps)


def _gradient_memory(maps: Maps, sampled: bool, leaky: bool) -> float:
    return (2 if leaky else 1) * maps.volume + 2 * maps.features + (maps.positions if sampled else 0)


def _around_tiles(maps: Maps, rows: int, columns: int, reach: tuple[int, int]) -> tuple[int, int]:
    """How many tiles there are, over all images, and how many pixels they and their surroundings have.

    Surroundings reach over so many displacements down and across at a time, until all of the window is seen.
    """
    down, across = range(0, maps.height, rows), range(0, maps.width, columns)
    around = math.prod(
        sum(
            inside(start - RADIUS + part, tile + min(seen, SIDE - part) - 1, size)
            for start in starts
            for part in range(0, SIDE, seen)
        )
        for starts, tile, size, seen in (
            (down, rows, maps.height, reach[0]),
            (across, columns, maps.width, reach[1]),
        )
    )
    return BATCH * len(down) * len(across), BATCH * around


def _reach(tile: CorrelationTile) -> tuple[int, int]:
    """Displacements down and across that a tile sees at a time."""
    return tile.down - tile.rows + 1, tile.across - tile.columns + 1


def _pairs(tile: CorrelationTile) -> int:
    """That are multiplied, in the window or not."""
    return tile.rows * tile.columns * tile.down * tile.across


def _products(maps: Maps) -> float:
    """Of bfloat16 in the time of one of these maps' numbers: float32 takes three of TensorFloat32, half as fast."""
    return 6 if maps.item == 4 else 1


def _features(maps: Maps) -> torch.Tensor:
    features = torch.empty(1, PYRAMID_CHANNELS, 2, 2, dtype=DTYPES[maps.dtype_name], device="meta")
    return features.to(memory_format=torch.channels_last)


def _gradient_channels(maps: Maps) -> int:
    return cell_gradient_tile(_features(maps)).channels
