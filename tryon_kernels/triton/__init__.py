"""Triton kernels, for GPUs of NVIDIA and AMD, as the launches that the ops are made from.

See `tryon_kernels.gpu.kernels` for what each does. With `TRITON_INTERPRET=1` in the environment Triton runs its kernels
on the CPU, one program after the other: to find out what they compute, not for speed.
"""

from tryon_kernels.triton.cells import find_cells, order_samples, sum_cells
from tryon_kernels.triton.correlation import gather, multiply
from tryon_kernels.triton.distance import differentiate_distance, measure
from tryon_kernels.triton.sample import differentiate_input, differentiate_positions, sample

__all__ = [
    "differentiate_distance",
    "differentiate_input",
    "differentiate_positions",
    "find_cells",
    "gather",
    "measure",
    "multiply",
    "order_samples",
    "sample",
    "sum_cells",
]
