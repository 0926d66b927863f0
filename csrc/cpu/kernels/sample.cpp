#include "cpu/kernels/sample.h"

#include <algorithm>

#include "cpu/kernels/sample_channels_last.h"
#include "cpu/kernels/sample_nchw.h"
#include "cpu/kernels/sample_rgb.h"
#include "cpu/kernels/scatter_bands.h"

namespace tryon_kernels {
namespace {

enum class Path { kNchw, kRgb, kChannelsLast };

// `output` is the sampled image, or its gradient.
template <class T, class Output>
Path path_of(const Sampling& sampling, const Image<const T>& input, const Image<Output>& output) {
  const int64_t channels = sampling.channels;
  const bool taps = has_tap_pairs(sampling, input);
  if (taps && input.column == 1 && output.column == 1) return Path::kNchw;
  if (taps && is_rgb(input, channels) && is_rgb(output, channels)) return Path::kRgb;
  return Path::kChannelsLast;
}

template <class T>
void sample_forward(const Sampling& sampling, Image<const T> input, Positions<const Wide<T>> positions, Image<T> output,
                    int64_t begin, int64_t end) {
  switch (path_of(sampling, input, output)) {
    case Path::kNchw:
      return sample_nchw(sampling, input, positions, output, begin, end);
    case Path::kRgb:
      return sample_rgb(sampling, input, positions, output, begin, end);
    default:
      return sample_channels_last(sampling, input, positions, output, begin, end);
  }
}

template <class T>
void sample_backward_positions(const Sampling& sampling, Image<const T> grad_output, Image<const T> input,
                               Positions<const Wide<T>> positions, Positions<Wide<T>> grad_positions, int64_t begin,
                               int64_t end) {
  switch (path_of(sampling, input, grad_output)) {
    case Path::kNchw:
      return differentiate_nchw(sampling, grad_output, input, positions, grad_positions, begin, end);
    case Path::kRgb:
      return differentiate_rgb(sampling, grad_output, input, positions, grad_positions, begin, end);
    default:
      return differentiate_channels_last(sampling, grad_output, input, positions, grad_positions, begin, end);
  }
}

template <class P>
void sample_reach(const Sampling& sampling, Positions<const P> positions, Reach* reaches, int64_t begin, int64_t end) {
  Along<P> y;
  Reach* reach = reaches + begin * segments_of_row(sampling);
  for (int64_t index = begin; index < end; ++index) {
    const int64_t image = index / sampling.out_height, row = index % sampling.out_height;
    const P* given = positions.data + image * positions.image + row * positions.row + positions.axis;
    for (int64_t start = 0; start < sampling.out_width; start += kSegment, ++reach) {
      const int64_t count = std::min(kSegment, sampling.out_width - start);
      locate(sampling, given + start * positions.column, positions.row, positions.column, {1, count, count}, row, 1, 0,
             sampling.height, 0, y);
      int32_t first = INT32_MAX, last = INT32_MIN;
      for (int64_t i = 0; i < count; ++i) {
        first = std::min(first, y.first[i]);
        last = std::max(last, y.first[i] + 1);
      }
      *reach = {first, last};
    }
  }
}

template <class T>
void sample_backward_input(const Sampling& sampling, Image<const T> grad_output, Positions<const Wide<T>> positions,
                           const Reach* reaches, Image<T> grad_input, const Band& band, Wide<T>* sums) {
  switch (channels_of_band(sampling.channels)) {
    case 4:
      return scatter_band<4>(sampling, grad_output, positions, reaches, grad_input, band, sums);
    case 16:
      return scatter_band<16>(sampling, grad_output, positions, reaches, grad_input, band, sums);
    default:
      return scatter_band<32>(sampling, grad_output, positions, reaches, grad_input, band, sums);
  }
}

template <class T>
constexpr SampleKernels<T> kKernels{sample_forward<T>, sample_backward_positions<T>, sample_reach<Wide<T>>,
                                    sample_backward_input<T>};

}  // namespace

namespace TRYON_KERNELS_VARIANT {
extern const Table<SampleKernels> kSample;
constinit const Table<SampleKernels> kSample{kKernels<float>, kKernels<double>, kKernels<Half>, kKernels<BFloat16>};
}  // namespace TRYON_KERNELS_VARIANT
}  // namespace tryon_kernels
