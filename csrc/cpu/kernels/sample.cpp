#include "cpu/kernels/sample.h"

#include <algorithm>

#include "cpu/kernels/sample_planes.h"
#include "cpu/kernels/sample_scatter.h"

namespace tryon_kernels {
namespace {

// One output pixel's place in the input: four taps (top left, top right, bottom left, bottom right).
template <class P>
struct Place {
  int64_t offset[4];  // of an element; meaningless for a tap outside
  P weight[4];
  unsigned within;     // one bit for each tap
  P right, lower;      // fractions of the way to the right and lower taps
  P slope_x, slope_y;  // of the pixel position by the given one; 0 where it was confined
};

constexpr unsigned kAllWithin = 15;

template <class P>
Place<P> place(const Sampling& sampling, const Along<P>& x, const Along<P>& y, int64_t i, int64_t row_stride,
               int64_t column_stride) {
  const int64_t left = x.first[i], top = y.first[i];
  const P right = x.fraction[i], lower = y.fraction[i];
  const int64_t offset = top * row_stride + left * column_stride;
  const unsigned columns = is_index(left, sampling.width) | is_index(left + 1, sampling.width) << 1;
  const unsigned rows = is_index(top, sampling.height) * 1u | is_index(top + 1, sampling.height) * 4u;
  return {{offset, offset + column_stride, offset + row_stride, offset + row_stride + column_stride},
          {(1 - lower) * (1 - right), (1 - lower) * right, lower * (1 - right), lower * right},
          rows * columns,
          right,
          lower,
          x.slope[i],
          y.slope[i]};
}

// Calls body(places, first column, count) for pieces of one output row.
template <class P, class Body>
void for_each_piece(const Sampling& sampling, Positions<const P> positions, int64_t image, int64_t row,
                    int64_t row_stride, int64_t column_stride, const Body& body) {
  Along<P> x, y;
  Place<P> places[kPiece];
  for (int64_t start = 0; start < sampling.out_width; start += kPiece) {
    const int64_t count = std::min(kPiece, sampling.out_width - start);
    locate(sampling, positions, image, row, start, count, 0, x, y);
    for (int64_t i = 0; i < count; ++i) places[i] = place(sampling, x, y, i, row_stride, column_stride);
    body(places, start, count);
  }
}

template <class T, class P>
P interpolate(const Place<P>& at, const T* input) {
  if (at.within == kAllWithin) {
    return at.weight[0] * widen(input[at.offset[0]]) + at.weight[1] * widen(input[at.offset[1]]) +
           at.weight[2] * widen(input[at.offset[2]]) + at.weight[3] * widen(input[at.offset[3]]);
  }
  P sum = 0;
  for (int tap = 0; tap < 4; ++tap) {
    if (at.within >> tap & 1) sum += at.weight[tap] * widen(input[at.offset[tap]]);
  }
  return sum;
}

// Four taps' values, 0 outside.
template <class T, class P>
void read_taps(const Place<P>& at, const T* input, P (&value)[4]) {
  for (int tap = 0; tap < 4; ++tap) value[tap] = (at.within >> tap & 1) ? widen(input[at.offset[tap]]) : P{0};
}

// Change of the sample with x and with y.
template <class P>
P change_x(const Place<P>& at, const P (&value)[4]) {
  return (value[1] - value[0]) * (1 - at.lower) + (value[3] - value[2]) * at.lower;
}

template <class P>
P change_y(const Place<P>& at, const P (&value)[4]) {
  return (value[2] - value[0]) * (1 - at.right) + (value[3] - value[1]) * at.right;
}

template <class T, class P>
void interpolate_channels(const Place<P>& at, const T* __restrict input, T* __restrict output, int64_t channels) {
  if (at.within != kAllWithin) {
    for (int64_t c = 0; c < channels; ++c) output[c] = narrow<T>(interpolate(at, input + c));
    return;
  }
  const T *a = input + at.offset[0], *b = input + at.offset[1], *c = input + at.offset[2], *d = input + at.offset[3];
  const P wa = at.weight[0], wb = at.weight[1], wc = at.weight[2], wd = at.weight[3];
  for (int64_t k = 0; k < channels; ++k) {
    output[k] = narrow<T>(wa * widen(a[k]) + wb * widen(b[k]) + wc * widen(c[k]) + wd * widen(d[k]));
  }
}

// Sums over contiguous channels, in a fixed number of partial sums so that the compiler may keep them in vectors.
template <class T, class P>
void sum_changes(const Place<P>& at, const T* __restrict grad, const T* __restrict input, int64_t channels, P& x,
                 P& y) {
  constexpr int64_t kLanes = 8;
  P partial_x[kLanes] = {}, partial_y[kLanes] = {};
  int64_t c = 0;
  if (at.within == kAllWithin) {
    const T *a = input + at.offset[0], *b = input + at.offset[1], *d = input + at.offset[2], *e = input + at.offset[3];
    for (; c + kLanes <= channels; c += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const int64_t k = c + lane;
        const P value[4] = {widen(a[k]), widen(b[k]), widen(d[k]), widen(e[k])};
        partial_x[lane] += widen(grad[k]) * change_x(at, value);
        partial_y[lane] += widen(grad[k]) * change_y(at, value);
      }
    }
  }
  for (; c < channels; ++c) {
    P value[4];
    read_taps(at, input + c, value);
    partial_x[0] += widen(grad[c]) * change_x(at, value);
    partial_y[0] += widen(grad[c]) * change_y(at, value);
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    x += partial_x[lane];
    y += partial_y[lane];
  }
}

template <class T>
void sample_forward(const Sampling& sampling, Image<const T> input, Positions<const Wide<T>> positions, Image<T> output,
                    int64_t begin, int64_t end) {
  using P = Wide<T>;
  if (has_planes(sampling, input) && has_whole_planes(sampling, output))
    return sample_planes(sampling, input, positions, output, begin, end);
  const bool channels_together = input.channel == 1 && output.channel == 1;
  for (int64_t index = begin; index < end; ++index) {
    const int64_t image = index / sampling.out_height, row = index % sampling.out_height;
    const T* source = input.data + image * input.image;
    T* target_row = output.data + image * output.image + row * output.row;
    for_each_piece<P>(sampling, positions, image, row, input.row, input.column,
                      [&](const Place<P>* places, int64_t start, int64_t count) {
                        T* target = target_row + start * output.column;
                        if (channels_together) {
                          for (int64_t i = 0; i < count; ++i) {
                            interpolate_channels(places[i], source, target + i * output.column, sampling.channels);
                          }
                          return;
                        }
                        for (int64_t c = 0; c < sampling.channels; ++c) {
                          const T* plane = source + c * input.channel;
                          T* to = target + c * output.channel;
                          for (int64_t i = 0; i < count; ++i)
                            to[i * output.column] = narrow<T>(interpolate(places[i], plane));
                        }
                      });
  }
}

template <class T>
void sample_backward_positions(const Sampling& sampling, Image<const T> grad_output, Image<const T> input,
                               Positions<const Wide<T>> positions, Positions<Wide<T>> grad_positions, int64_t begin,
                               int64_t end) {
  using P = Wide<T>;
  if (has_planes(sampling, input) && has_whole_planes(sampling, grad_output))
    return differentiate_planes(sampling, grad_output, input, positions, grad_positions, begin, end);
  const bool channels_together = input.channel == 1 && grad_output.channel == 1;
  for (int64_t index = begin; index < end; ++index) {
    const int64_t image = index / sampling.out_height, row = index % sampling.out_height;
    const T* source = input.data + image * input.image;
    const T* grad_row = grad_output.data + image * grad_output.image + row * grad_output.row;
    P* target_row = grad_positions.data + image * grad_positions.image + row * grad_positions.row;
    for_each_piece<P>(sampling, positions, image, row, input.row, input.column,
                      [&](const Place<P>* places, int64_t start, int64_t count) {
                        P x[kPiece] = {}, y[kPiece] = {};
                        const T* grad = grad_row + start * grad_output.column;
                        if (channels_together) {
                          for (int64_t i = 0; i < count; ++i) {
                            sum_changes(places[i], grad + i * grad_output.column, source, sampling.channels, x[i],
                                        y[i]);
                          }
                        } else {
                          for (int64_t c = 0; c < sampling.channels; ++c) {
                            const T* plane = source + c * input.channel;
                            for (int64_t i = 0; i < count; ++i) {
                              const P g = widen(grad[c * grad_output.channel + i * grad_output.column]);
                              P value[4];
                              read_taps(places[i], plane, value);
                              x[i] += g * change_x(places[i], value);
                              y[i] += g * change_y(places[i], value);
                            }
                          }
                        }
                        for (int64_t i = 0; i < count; ++i) {
                          P* pair = target_row + (start + i) * grad_positions.column;
                          pair[0] = places[i].slope_x != 0 ? x[i] * places[i].slope_x : 0;
                          pair[grad_positions.axis] = places[i].slope_y != 0 ? y[i] * places[i].slope_y : 0;
                        }
                      });
  }
}

template <class P>
void sample_reach(const Sampling& sampling, Positions<const P> positions, Reach* reaches, int64_t begin, int64_t end) {
  Along<P> x, y;
  Reach* reach = reaches + begin * pieces_of_row(sampling);
  for (int64_t index = begin; index < end; ++index) {
    for (int64_t start = 0; start < sampling.out_width; start += kPiece, ++reach) {
      const int64_t count = std::min(kPiece, sampling.out_width - start);
      locate(sampling, positions, index / sampling.out_height, index % sampling.out_height, start, count, 0, x, y);
      *reach = {INT32_MAX, INT32_MIN};
      for (int64_t i = 0; i < count; ++i) {
        reach->first = std::min(reach->first, y.first[i]);
        reach->last = std::max(reach->last, y.first[i] + 1);
      }
    }
  }
}

template <class T>
void sample_backward_input(const Sampling& sampling, Image<const T> grad_output, Positions<const Wide<T>> positions,
                           const Reach* reaches, Image<T> grad_input, const Band& band, Wide<T>* sums) {
  switch (channels_of_band(sampling.channels)) {
    case 1:
      return scatter_band<1>(sampling, grad_output, positions, reaches, grad_input, band, sums);
    case 2:
      return scatter_band<2>(sampling, grad_output, positions, reaches, grad_input, band, sums);
    case 4:
      return scatter_band<4>(sampling, grad_output, positions, reaches, grad_input, band, sums);
    case 8:
      return scatter_band<8>(sampling, grad_output, positions, reaches, grad_input, band, sums);
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
