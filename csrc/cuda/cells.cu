#include "cuda/device/cells.cuh"
#include "cuda/ops.h"
#include "cuda/sampling.h"

namespace tryon_kernels::cuda {
namespace {

// Of a gradient's image, as if it were sampled at its own pixels.
Sampling pixels_of(const Tensor& image) {
  const int height = static_cast<int>(image.size(2)), width = static_cast<int>(image.size(3));
  return {{}, image.size(0), image.size(1), height, width, height, width};
}

template <class P>
void launch_find_cells(const Tensor& positions, Tensor& cells, Tensor& fractions, int64_t outside,
                       const Sampling& sampling) {
  const int64_t count = cells.numel();
  launch("find_cells", positions, find_cells<P>, dim3(static_cast<unsigned>(parts(count, kSamplingThreads))),
         dim3(kSamplingThreads), 0, positions_of<const P>(positions), static_cast<int*>(cells.mutable_data_ptr()),
         static_cast<Fractions<P>*>(fractions.mutable_data_ptr()), count, outside, sampling);
}

template <class T>
void launch_order(const Tensor& grad_output, const Tensor& cells, const Tensor& order, const Tensor& fractions,
                  Tensor& ordered_fractions, Tensor& places, Tensor& sums, int64_t outside) {
  using Two = Fractions<Wide<T>>;
  constexpr int64_t kMostBlocks = 65535;  // as many as a grid may have along y
  const int64_t count = cells.numel();
  const Sampling sampling = pixels_of(grad_output);
  const dim3 grid(static_cast<unsigned>(parts(count, kChunk)),
                  static_cast<unsigned>(std::min(parts(sampling.channels, kChunk), kMostBlocks)));
  launch("order_samples", grad_output, order_samples<T>, grid, dim3(kChunk), 0, image_of<const T>(grad_output),
         static_cast<const int*>(cells.const_data_ptr()), static_cast<const int64_t*>(order.const_data_ptr()),
         static_cast<const Two*>(fractions.const_data_ptr()), static_cast<Two*>(ordered_fractions.mutable_data_ptr()),
         static_cast<int2*>(places.mutable_data_ptr()), static_cast<Wide<T>*>(sums.mutable_data_ptr()), count, outside,
         sampling);
}

template <class T>
void launch_sum(const Tensor& grad_output, const SortedSamples<Wide<T>>& samples, Tensor& gradient) {
  const Sampling sampling = pixels_of(gradient);
  const Image<const T> grad = image_of<const T>(grad_output);
  const Image<T> to = image_of<T>(gradient);
  if (has_vectors(grad, sampling.channels) && has_vectors(to, sampling.channels)) {
    const unsigned lanes = even_lanes(sampling.channels / kVector<T>);
    const Tiling tiling = tiling_of(sampling, lanes, sampling.channels);
    launch("sum_cells", gradient, sum_cells_vectors<T>, grid_of(sampling, tiling),
           dim3(lanes, tiling.columns, tiling.rows), 0, grad, samples, to, sampling, tiling);
  } else {
    const Tiling tiling = tiling_of(sampling, 1, kGatheredChannels);
    launch("sum_cells", gradient, sum_cells_planes<T>, grid_of(sampling, tiling), dim3(tiling.columns, tiling.rows), 0,
           grad, samples, to, sampling, tiling);
  }
}

}  // namespace

void find_cells(const Tensor& positions, Tensor cells, Tensor fractions, int64_t height, int64_t width, int64_t outside,
                int64_t coordinates, bool border) {
  const Sampling sampling = {{static_cast<Coordinates>(coordinates), border},
                             positions.size(0),
                             0,
                             static_cast<int>(height),
                             static_cast<int>(width),
                             static_cast<int>(positions.size(2)),
                             static_cast<int>(positions.size(3))};
  if (positions.scalar_type() == ScalarType::Double) {
    launch_find_cells<double>(positions, cells, fractions, outside, sampling);
  } else {
    launch_find_cells<float>(positions, cells, fractions, outside, sampling);
  }
}

void order_samples(const Tensor& grad_output, const Tensor& cells, const Tensor& order, const Tensor& fractions,
                   Tensor ordered_fractions, Tensor places, Tensor sums, int64_t outside) {
  const int64_t chunks = parts(cells.numel(), kChunk);
  STD_TORCH_CHECK(sums.size(0) == chunks, "sums: got ", sums.size(0), " chunks, expected ", chunks);
  with_number_type("grad_output", grad_output, [&](auto number) {
    launch_order<decltype(number)>(grad_output, cells, order, fractions, ordered_fractions, places, sums, outside);
  });
}

void sum_cells(const Tensor& grad_output, const Tensor& starts, const Tensor& fractions, const Tensor& places,
               const Tensor& sums, Tensor gradient) {
  with_number_type("grad_output", grad_output, [&](auto number) {
    using P = Wide<decltype(number)>;
    const SortedSamples<P> samples = {
        static_cast<const int*>(starts.const_data_ptr()), static_cast<const Fractions<P>*>(fractions.const_data_ptr()),
        static_cast<const int2*>(places.const_data_ptr()), static_cast<const P*>(sums.const_data_ptr())};
    launch_sum<decltype(number)>(grad_output, samples, gradient);
  });
}

}  // namespace tryon_kernels::cuda
