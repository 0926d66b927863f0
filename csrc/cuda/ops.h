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

// Adds to `sums`, which has the input's shape and the wide dtype, in whichever order.
void differentiate_input(const Tensor& grad_output, const Tensor& positions, Tensor sums, int64_t coordinates,
                         bool border);

// The same gradient in one order, in three steps (tryon_kernels/gpu/cells.py): the cell in which each output pixel's
// position lies; what is wanted of the output pixels sorted by cell; and the gradient.
void find_cells(const Tensor& positions, Tensor cells, Tensor fractions, int64_t height, int64_t width, int64_t outside,
                int64_t coordinates, bool border);
void order_samples(const Tensor& grad_output, const Tensor& cells, const Tensor& order, const Tensor& fractions,
                   Tensor ordered_fractions, Tensor places, Tensor sums, int64_t outside);
void sum_cells(const Tensor& grad_output, const Tensor& starts, const Tensor& fractions, const Tensor& places,
               const Tensor& sums, Tensor gradient);

// The volume of a map, or of one sampled at positions, with a second one: sums over channels, times `scale`. The radius
// is the volume's.
void multiply(const Tensor& first, const Tensor& second, const std::optional<Tensor>& positions, Tensor volume,
              double scale, std::optional<double> negative_slope, int64_t coordinates, bool border);

// One map's gradient from the other map, or from that sampled at positions; the second's if mirrored. `volume` is given
// where there is a negative slope.
void gather(const Tensor& grad_volume, const std::optional<Tensor>& volume, const Tensor& other,
            const std::optional<Tensor>& positions, Tensor gradient, double scale, std::optional<double> negative_slope,
            bool mirrored, int64_t coordinates, bool border);

// Features after ReLU, where `activated` is given, and sums of their distances from a target, of each few numbers; all
// dense and in one order, as below.
void measure(const Tensor& features, const Tensor& target, const std::optional<Tensor>& activated, Tensor sums);

// The gradients that are given, from those of the results that there are. Without that of the mean distance the target
// is not read.
void differentiate_distance(const std::optional<Tensor>& grad_activated, const std::optional<Tensor>& grad_distance,
                            const Tensor& activated, const Tensor& target, bool relu,
                            const std::optional<Tensor>& grad_features, const std::optional<Tensor>& grad_target);

}  // namespace tryon_kernels::cuda
