#include "cuda/device/sample.cuh"
#include "cuda/ops.h"
#include "cuda/sampling.h"

namespace tryon_kernels::cuda {
namespace {

template <class T>
void launch_sample(const Tensor& input, const Tensor& positions, Tensor& output, const Sampling& sampling) {
  const Image<const T> from = image_of<const T>(input);
  const Image<T> to = image_of<T>(output);
  const Positions<const Wide<T>> at = positions_of<const Wide<T>>(positions);
  if (has_vectors(from, sampling.channels) && has_vectors(to, sampling.channels)) {
    const unsigned lanes = even_lanes(sampling.channels / kVector<T>);
    const Tiling tiling = tiling_of(sampling, lanes, sampling.channels);
    launch("sample", input, sample_vectors<T>, grid_of(sampling, tiling), dim3(lanes, tiling.columns, tiling.rows), 0,
           from, at, to, sampling, tiling);
  } else {
    const Tiling tiling = tiling_of(sampling, 1, kSampledChannels);
    launch("sample", input, sample_planes<T>, grid_of(sampling, tiling), dim3(tiling.columns, tiling.rows), 0, from, at,
           to, sampling, tiling);
  }
}

}  // namespace

void sample(const Tensor& input, const Tensor& positions, Tensor output, int64_t coordinates, bool border) {
  const Sampling sampling = sampling_of(input, positions, coordinates, border);
  with_number_type("input", input,
                   [&](auto number) { launch_sample<decltype(number)>(input, positions, output, sampling); });
}

}  // namespace tryon_kernels::cuda
