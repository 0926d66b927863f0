#include "cuda/device/positions_gradient.cuh"
#include "cuda/device/scatter.cuh"
#include "cuda/ops.h"
#include "cuda/sampling.h"

namespace tryon_kernels::cuda {
namespace {

// Threads for a pixel's vectors: a power of two, so that warps hold whole pixels.
unsigned warp_lanes(int64_t vectors) {
  return std::min<uint64_t>(kWarp, std::bit_ceil(static_cast<uint64_t>(vectors)));
}

unsigned channel_groups(int64_t channels) {
  return std::min<uint64_t>(kMostGroups, std::bit_floor(static_cast<uint64_t>(channels)));
}

template <class T>
void launch_positions_gradient(const Tensor& grad_output, const Tensor& input, const Tensor& positions,
                               Tensor& grad_positions, const Sampling& sampling) {
  const Image<const T> grad = image_of<const T>(grad_output), from = image_of<const T>(input);
  const Positions<const Wide<T>> at = positions_of<const Wide<T>>(positions);
  const Positions<Wide<T>> to = positions_of<Wide<T>>(grad_positions);
  if (has_vectors(grad, sampling.channels) && has_vectors(from, sampling.channels)) {
    const unsigned lanes = warp_lanes(sampling.channels / kVector<T>);
    const Tiling tiling = tiling_of(sampling, lanes, sampling.channels);
    launch("differentiate_positions", input, positions_gradient_vectors<T>, grid_of(sampling, tiling),
           dim3(lanes, tiling.columns, tiling.rows), 0, grad, from, at, to, sampling, tiling);
  } else {
    const unsigned groups = channel_groups(sampling.channels);
    const Tiling tiling = tiling_of(sampling, groups, sampling.channels);
    launch("differentiate_positions", input, positions_gradient_planes<T>, grid_of(sampling, tiling),
           dim3(tiling.columns, tiling.rows, groups), 0, grad, from, at, to, sampling, tiling);
  }
}

template <class T>
void launch_scatter(const Tensor& grad_output, const Tensor& positions, Tensor& sums, const Sampling& sampling) {
  const Image<const T> grad = image_of<const T>(grad_output);
  const Image<Wide<T>> to = image_of<Wide<T>>(sums);
  const Positions<const Wide<T>> at = positions_of<const Wide<T>>(positions);
  if (to.channel == 1 && sampling.channels > 1) {
    const unsigned lanes = even_lanes(sampling.channels);
    const Tiling tiling = tiling_of(sampling, lanes, sampling.channels);
    launch("differentiate_input", grad_output, scatter_channels<T>, grid_of(sampling, tiling),
           dim3(lanes, tiling.columns, tiling.rows), 0, grad, at, to, sampling, tiling);
  } else {
    const Tiling tiling = tiling_of(sampling, 1, kScatteredChannels);
    launch("differentiate_input", grad_output, scatter_planes<T>, grid_of(sampling, tiling),
           dim3(tiling.columns, tiling.rows), 0, grad, at, to, sampling, tiling);
  }
}

}  // namespace

void differentiate_positions(const Tensor& grad_output, const Tensor& input, const Tensor& positions,
                             Tensor grad_positions, int64_t coordinates, bool border) {
  const Sampling sampling = sampling_of(input, positions, coordinates, border);
  with_number_type("input", input, [&](auto number) {
    launch_positions_gradient<decltype(number)>(grad_output, input, positions, grad_positions, sampling);
  });
}

void differentiate_input(const Tensor& grad_output, const Tensor& positions, Tensor sums, int64_t coordinates,
                         bool border) {
  const Sampling sampling = sampling_of(sums, positions, coordinates, border);
  with_number_type("grad_output", grad_output,
                   [&](auto number) { launch_scatter<decltype(number)>(grad_output, positions, sums, sampling); });
}

}  // namespace tryon_kernels::cuda
