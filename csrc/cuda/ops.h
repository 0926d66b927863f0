#pragma once

#include <torch/csrc/stable/tensor.h>

#include <optional>

// What the ops' host code in Python (tryon_kernels/gpu) calls: each runs one kernel, on tensors that are checked and
// allocated there, none of them empty. tryon_kernels/cuda has the schemas. Positions are N x 2 x Ho x Wo of any
// strides; `coordinates` numbers the values of `Coordinates`.
namespace tryon_kernels::cuda {

using torch::stable::Tensor;

void sample(const Tensor& input, const Tensor& positions, Tensor output, int64_t coordinates, bool border);

void differentiate_positions(const Tensor& grad_output, const Tensor& input, const Tensor& positions,
                             Tensor grad_positions, int64_t coordinates, bool border);

// Adds to `sums`, which has the input's shape: of the wide dtype, or with a scale (one float64 number, a power of two)
// int64 multiples of 1 / scale, and then notes in `unusual` (int32) what is not finite: 1 for infinity, 2 for minus
// infinity, 3 for what is no number; bits are joined, so that 3 is also the sum of both infinities.
void differentiate_input(const Tensor& grad_output, const Tensor& positions, Tensor sums,
                         const std::optional<Tensor>& unusual, const std::optional<Tensor>& scale, int64_t coordinates,
                         bool border);

// The volume of a map, or of one sampled at positions, with a second one: sums over channels, times `scale`. The radius
// is the volume's.
void multiply(const Tensor& first, const Tensor& second, const std::optional<Tensor>& positions, Tensor volume,
              double scale, std::optional<double> negative_slope, int64_t coordinates, bool border);

// One map's gradient from the other map, or from that sampled at positions; the second's if mirrored. `volume` is given
// where there is a negative slope.
void gather(const Tensor& grad_volume, const std::optional<Tensor>& volume, const Tensor& other,
            const std::optional<Tensor>& positions, Tensor gradient, double scale, std::optional<double> negative_slope,
            bool mirrored, int64_t coordinates, bool border);

}  // namespace tryon_kernels::cuda
