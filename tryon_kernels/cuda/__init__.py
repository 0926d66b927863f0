"""The CUDA kernels (csrc/cuda) as the launches that the ops are made from: see `tryon_kernels.gpu.kernels`."""

from __future__ import annotations

import torch

from tryon_kernels.libraries import CUDA, load

_library = torch.library.Library("tryon_kernels_cuda", "FRAGMENT")
_library.define("sample(Tensor input, Tensor positions, Tensor(a!) output, int coordinates, bool border) -> ()")
_library.define(
    "differentiate_positions(Tensor grad_output, Tensor input, Tensor positions, Tensor(a!) grad_positions,"
    " int coordinates, bool border) -> ()"
)
_library.define(
    "differentiate_input(Tensor grad_output, Tensor positions, Tensor(a!) sums, int coordinates, bool border) -> ()"
)
_library.define(
    "find_cells(Tensor positions, Tensor(a!) cells, Tensor(b!) fractions, int height, int width, int outside,"
    " int coordinates, bool border) -> ()"
)
_library.define(
    "order_samples(Tensor grad_output, Tensor cells, Tensor order, Tensor fractions, Tensor(a!) ordered_fractions,"
    " Tensor(b!) places, Tensor(c!) sums, int outside) -> ()"
)
_library.define(
    "sum_cells(Tensor grad_output, Tensor starts, Tensor fractions, Tensor places, Tensor sums, Tensor(a!) gradient)"
    " -> ()"
)
_library.define(
    "multiply(Tensor first, Tensor second, Tensor? positions, Tensor(a!) volume, float scale,"
    " float? negative_slope, int coordinates, bool border) -> ()"
)
_library.define(
    "gather(Tensor grad_volume, Tensor? volume, Tensor other, Tensor? positions, Tensor(a!) gradient,"
    " float scale, float? negative_slope, bool mirrored, int coordinates, bool border) -> ()"
)
_library.define("measure(Tensor features, Tensor target, Tensor(a!)? activated, Tensor(b!) sums) -> ()")
_library.define(
    "differentiate_distance(Tensor? grad_activated, Tensor? grad_distance, Tensor activated, Tensor target, bool relu,"
    " Tensor(a!)? grad_features, Tensor(b!)? grad_target) -> ()"
)
load(CUDA)

sample = torch.ops.tryon_kernels_cuda.sample
differentiate_positions = torch.ops.tryon_kernels_cuda.differentiate_positions
differentiate_input = torch.ops.tryon_kernels_cuda.differentiate_input
find_cells = torch.ops.tryon_kernels_cuda.find_cells
order_samples = torch.ops.tryon_kernels_cuda.order_samples
sum_cells = torch.ops.tryon_kernels_cuda.sum_cells
multiply = torch.ops.tryon_kernels_cuda.multiply
gather = torch.ops.tryon_kernels_cuda.gather
measure = torch.ops.tryon_kernels_cuda.measure
differentiate_distance = torch.ops.tryon_kernels_cuda.differentiate_distance
