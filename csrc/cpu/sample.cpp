#include "cpu/kernels/sample.h"

#include <numeric>

#include "cpu/ops.h"
#include "cpu/sampling.h"
#include "cpu/threads.h"
#include "cpu/variants.h"

namespace tryon_kernels::cpu {
namespace {

Tensor forward(const Tensor& input, const Tensor& positions, const Axes& axes, const std::string& padding_mode,
               Coordinates coordinates) {
  const Sampling sampling = check_sampling("input", input, positions, axes, padding_mode, coordinates);
  const Tensor output = new_output(input, {input.size(0), sampling.channels, sampling.out_height, sampling.out_width},
                                   input.scalar_type());
  with_number_type("input", input, [&]<class T>(T) {
    const auto& kernels = sample_kernels<T>();
    const auto from = image_of<const T>(input);
    const auto at = positions_of<const Wide<T>>(positions, axes);
    const auto to = image_of<T>(output);
    for_each_range(input.size(0) * sampling.out_height, 4 * sampling.out_width * (sampling.channels + 4),
                   [&](int64_t begin, int64_t end) { kernels.forward(sampling, from, at, to, begin, end); });
  });
  return output;
}

// How an input's gradient is split into bands. They are small enough for the second-level cache, unless positions are
// so scattered that most segments reach many; and there are as many as give every thread equally many. Larger is better
// as long as it fits: where a flow leads across rows, a segment is placed again for each band that it reaches.
struct Bands {
  int64_t images, channels, channel_blocks, row_blocks, rows;

  int64_t count() const { return images * channel_blocks * row_blocks; }

  Band at(int64_t index, const Sampling& sampling) const {
    const int64_t row = index % row_blocks * rows, block = index / row_blocks;
    return {block / channel_blocks, block % channel_blocks * channels, row, std::min(rows, sampling.height - row)};
  }
};

int64_t rounded_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// `find_reaches` gives those of all segments, which one band of all rows does without.
template <class FindReaches>
Bands split(const Sampling& sampling, int64_t images, int64_t number_bytes, const FindReaches& find_reaches) {
  constexpr int64_t kBytes = 1 << 20, kLeastRows = 4, kMostVisits = 3;  // visits of each segment, in the mean
  const int64_t channels = channels_of_band(sampling.channels);
  const int64_t channel_blocks = rounded_up(sampling.channels, channels) / channels;
  const int64_t fitting = std::max(kLeastRows, kBytes / (number_bytes * channels * sampling.width));
  const int64_t threads = thread_count(), even = threads / std::gcd(images * channel_blocks, threads);
  Bands bands{images, channels, channel_blocks, 0, fitting};
  const auto split_rows = [&](int64_t blocks) {
    bands.rows = (sampling.height + blocks - 1) / blocks;
    bands.row_blocks = (sampling.height + bands.rows - 1) / bands.rows;
  };
  split_rows(rounded_up((sampling.height + fitting - 1) / fitting, even));
  if (bands.row_blocks == 1) return bands;
  const std::vector<Reach>& reaches = find_reaches();
  const auto visits = [&] {
    int64_t count = 0;
    for (const Reach& reach : reaches) count += reach.last / bands.rows - std::max(reach.first, 0) / bands.rows + 1;
    return count;
  };
  while (bands.row_blocks > even && visits() > kMostVisits * static_cast<int64_t>(reaches.size()))
    split_rows(rounded_up(bands.row_blocks / 2, even));
  return bands;
}

template <class T>
void backward_input(const Sampling& sampling, int64_t images, Image<const T> grad_output,
                    Positions<const Wide<T>> positions, Image<T> grad_input) {
  using P = Wide<T>;
  const auto& kernels = sample_kernels<T>();
  std::vector<Reach> reaches;
  const Bands bands = split(sampling, images, sizeof(P), [&]() -> const std::vector<Reach>& {
    reaches.resize(images * sampling.out_height * segments_of_row(sampling));
    for_each_range(images * sampling.out_height, 8 * sampling.out_width,
                   [&](int64_t begin, int64_t end) { kernels.reach(sampling, positions, reaches.data(), begin, end); });
    return reaches;
  });
  const int64_t numbers = bands.rows * sampling.width * bands.channels;
  const int64_t ranges = std::min(bands.count(), thread_count());
  const Tensor memory = torch::stable::empty({ranges * numbers * static_cast<int64_t>(sizeof(P))}, ScalarType::Byte);
  P* const sums = static_cast<P*>(memory.mutable_data_ptr());
  const int64_t cost = images * sampling.channels *
                       (sampling.height * sampling.width + 4 * sampling.out_height * sampling.out_width) / ranges;
  for_each_range(ranges, cost, [&](int64_t first, int64_t last) {
    for (int64_t range = first; range < last; ++range) {
      for (int64_t i = bands.count() * range / ranges; i < bands.count() * (range + 1) / ranges; ++i) {
        kernels.backward_input(sampling, grad_output, positions, reaches.empty() ? nullptr : reaches.data(), grad_input,
                               bands.at(i, sampling), sums + range * numbers);
      }
    }
  });
}

std::tuple<Tensor, Tensor> backward(const Tensor& grad_output, const Tensor& input, const Tensor& positions,
                                    const Axes& axes, const std::string& padding_mode, Coordinates coordinates,
                                    bool input_needed, bool positions_needed) {
  const Sampling sampling = check_sampling("input", input, positions, axes, padding_mode, coordinates);
  const int64_t images = input.size(0), channels = sampling.channels;
  check_shape("grad_output", grad_output, {images, channels, sampling.out_height, sampling.out_width});
  check_dtype("grad_output", grad_output, input.scalar_type());
  const Tensor grad_input = new_gradient(input, input_needed);
  const Tensor grad_positions = new_gradient(positions, positions_needed);
  with_number_type("input", input, [&]<class T>(T) {
    const auto& kernels = sample_kernels<T>();
    using P = Wide<T>;
    const auto grad = image_of<const T>(grad_output);
    const auto at = positions_of<const P>(positions, axes);
    if (positions_needed) {
      const auto from = image_of<const T>(input);
      const auto to = positions_of<P>(grad_positions, axes);
      for_each_range(
          images * sampling.out_height, 8 * sampling.out_width * (channels + 4),
          [&](int64_t begin, int64_t end) { kernels.backward_positions(sampling, grad, from, at, to, begin, end); });
    }
    if (input_needed && grad_input.numel() > 0) backward_input<T>(sampling, images, grad, at, image_of<T>(grad_input));
  });
  return {grad_input, grad_positions};
}

}  // namespace

Tensor warp(const Tensor& input, const Tensor& flow, const std::string& padding_mode) {
  return forward(input, flow, kFlow, padding_mode, Coordinates::kPixelOffsets);
}

std::tuple<Tensor, Tensor> warp_backward(const Tensor& grad_output, const Tensor& input, const Tensor& flow,
                                         const std::string& padding_mode, bool input_needed, bool flow_needed) {
  return backward(grad_output, input, flow, kFlow, padding_mode, Coordinates::kPixelOffsets, input_needed, flow_needed);
}

Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& padding_mode, bool align_corners) {
  return forward(input, grid, kGrid, padding_mode, coordinates_of(align_corners));
}

std::tuple<Tensor, Tensor> grid_sample_backward(const Tensor& grad_output, const Tensor& input, const Tensor& grid,
                                                const std::string& padding_mode, bool align_corners, bool input_needed,
                                                bool grid_needed) {
  return backward(grad_output, input, grid, kGrid, padding_mode, coordinates_of(align_corners), input_needed,
                  grid_needed);
}

}  // namespace tryon_kernels::cpu
