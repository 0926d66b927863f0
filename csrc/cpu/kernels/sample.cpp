#include "cpu/kernels/sample.h"

#include <algorithm>

#include "cpu/kernels/sample_few.h"
#include "cpu/kernels/sample_pixels.h"
#include "cpu/kernels/sample_planes.h"
#include "cpu/kernels/sample_scatter.h"

namespace tryon_kernels {
namespace {

enum class Path { kPlanes, kFew, kPixels };

// `output` is the sampled image, or its gradient.
template <class T, class Output>
Path path_of(const Sampling& sampling, const Image<const T>& input, const Image<Output>& output) {
  const int64_t channels = sampling.channels;
  const bool pairs = has_pairs(sampling, input);
  if (pairs && input.column == 1 && output.column == 1) return Path::kPlanes;
  if (pairs && are_triples(input, channels) && are_triples(output, channels)) return Path::kFew;
  return Path::kPixels;
}

template <class T>
void sample_forward(const Sampling& sampling, Image<const T> input, Positions<const Wide<T>> positions, Image<T> output,
                    int64_t begin, int64_t end) {
  switch (path_of(sampling, input, output)) {
    case Path::kPlanes:
      return sample_planes(sampling, input, positions, output, begin, end);
    case Path::kFew:
      return sample_few<3>(sampling, input, positions, output, begin, end);
    default:
      return sample_pixels(sampling, input, positions, output, begin, end);
  }
}

template <class T>
void sample_backward_positions(const Sampling& sampling, Image<const T> grad_output, Image<const T> input,
                               Positions<const Wide<T>> positions, Positions<Wide<T>> grad_positions, int64_t begin,
                               int64_t end) {
  switch (path_of(sampling, input, grad_output)) {
    case Path::kPlanes:
      return differentiate_planes(sampling, grad_output, input, positions, grad_positions, begin, end);
    case Path::kFew:
      return differentiate_few<3>(sampling, grad_output, input, positions, grad_positions, begin, end);
    default:
      return differentiate_pixels(sampling, grad_output, input, positions, grad_positions, begin, end);
  }
}

template <class P>
void sample_reach(const Sampling& sampling, Positions<const P> positions, Reach* reaches, int64_t begin, int64_t end) {
  Along<P> y;
  Reach* reach = reaches + begin * pieces_of_row(sampling);
  for (int64_t index = begin; index < end; ++index) {
    const int64_t image = index / sampling.out_height, row = index % sampling.out_height;
    const P* given = positions.data + image * positions.image + row * positions.row + positions.axis;
    for (int64_t start = 0; start < sampling.out_width; start += kPiece, ++reach) {
      const int64_t count = std::min(kPiece, sampling.out_width - start);
      read_positions(sampling.coordinates, given + start * positions.column, positions.row, positions.column,
                     {1, count, count}, row, 1, 0, sampling.height, y.position);
      locate(sampling, sampling.height, count, y);
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
