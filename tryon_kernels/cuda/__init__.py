"""The CUDA kernels (csrc/cuda) as the launches that the ops are made from: see `tryon_kernels.gpu.kernels`."""

from __future__ import annotations

import torch

from tryon_kernels.libraries import load_cuda

_library = torch.library.Library("tryon_kernels_cuda", "FRAGMENT")
_library.define("sample(Tensor input, Tensor positions, Tensor(a!) output, int coordinates, bool border) -> ()")
_library.define(
    "differentiate_positions(Tensor grad_output, Tensor input, Tensor positions, Tensor(a!) grad_positions,"
    " int coordinates, bool border) -> ()"
)
_library.define(
    "differentiate_input(Tensor grad_output, Tensor positions, Tensor(a!) sums, Tensor(b!)? unusual, Tensor? scale,"
    " int coordinates, bool border) -> ()"
)
_library.define(
    "multiply(Tensor first, Tensor second, Tensor? positions, Tensor(a!) volume, float scale,"
    " float? negative_slope, int coordinates, bool border) -> ()"
)
_library.define(
    "gather(Tensor grad_volume, Tensor? volume, Tensor other, Tensor? positions, Tensor(a!) gradient,"
    " float scale, float? negative_slope, bool mirrored, int coordinates, bool border) -> ()"
)
load_cuda()

sample = torch.ops.tryon_kernels_cuda.sample
differentiate_positions = torch.ops.tryon_kernels_cuda.differentiate_positions
differentiate_input = torch.ops.tryon_kernels_cuda.differentiate_input
multiply = torch.ops.tryon_kernels_cuda.multiply
gather = torch.ops.tryon_kernels_cuda.gather
