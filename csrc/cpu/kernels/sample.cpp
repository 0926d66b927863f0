#include "cpu/kernels/sample.h"

#include <algorithm>

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
constexpr int64_t kPixels = 64;  // of a row are placed at a time: their places stay in the first-level cache

// Where the pixels of a piece of a row fall along one axis: between pixel `first` and the next. The loops over a piece
// are kept free of branches, so that the compiler can turn them into vector code.
template <class P>
struct Along {
  int32_t first[kPixels];
  P fraction[kPixels];
  P slope[kPixels];  // of the pixel position by the given one; 0 where it was confined
};

// Pixel positions from given ones, which lie `stride` apart; `index` is the first output pixel's own position and
// `step` the way from one to the next.
template <class P>
P to_pixels(const P* given, int64_t stride, int64_t count, int64_t index, int64_t step, int64_t size,
            Coordinates coordinates, P (&pixel)[kPixels]) {
  const P extent = static_cast<P>(size);
  switch (coordinates) {
    case Coordinates::kPixelOffsets:
      for (int64_t i = 0; i < count; ++i) pixel[i] = given[i * stride] + static_cast<P>(index + i * step);
      return 1;
    case Coordinates::kCornersAligned:
      for (int64_t i = 0; i < count; ++i) pixel[i] = (given[i * stride] + 1) / 2 * (extent - 1);
      return (extent - 1) / 2;
    default:
      for (int64_t i = 0; i < count; ++i) pixel[i] = ((given[i * stride] + 1) * extent - 1) / 2;
      return extent / 2;
  }
}

// Positions are brought in from where they change nothing any more: to the outer pixels, or for zeros to a place whose
// taps are all outside. NaN compares false with everything and so goes to the low end.
template <bool Border, class P>
void locate(const P (&pixel)[kPixels], int64_t count, int64_t size, P slope, Along<P>& along) {
  const P low = Border ? 0 : -2;
  const P high = static_cast<P>(Border ? size - 1 : size);
  for (int64_t i = 0; i < count; ++i) {
    const P position = pixel[i];
    const bool inside = Border ? (position > low) & (position < high) : (position >= -1) & (position <= high);
    const P end = position >= high ? high : low;
    const P confined = inside ? position : end;
    // Truncation and a correction are floor, without the call into the maths library that baseline x86-64 needs.
    const int32_t truncated = static_cast<int32_t>(confined);
    const int32_t first = truncated - (confined < static_cast<P>(truncated) ? 1 : 0);
    along.first[i] = first;
    along.fraction[i] = confined - static_cast<P>(first);
    along.slope[i] = inside ? slope : P{0};
  }
}

template <class P>
void locate(const P* given, int64_t stride, int64_t count, int64_t index, int64_t step, int64_t size,
            const Sampling& sampling, Along<P>& along) {
  P pixel[kPixels];
  const P slope = to_pixels(given, stride, count, index, step, size, sampling.coordinates, pixel);
  sampling.border ? locate<true>(pixel, count, size, slope, along) : locate<false>(pixel, count, size, slope, along);
}

inline unsigned is_index(int64_t value, int64_t size) {
  return static_cast<uint64_t>(value) < static_cast<uint64_t>(size);
}

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
  Place<P> places[kPixels];
  for (int64_t start = 0; start < sampling.out_width; start += kPixels) {
    const int64_t count = std::min(kPixels, sampling.out_width - start);
    const P* given = positions.data + image * positions.image + row * positions.row + start * positions.column;
    locate(given, positions.column, count, start, 1, sampling.width, sampling, x);
    locate(given + positions.axis, positions.column, count, row, 0, sampling.height, sampling, y);
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

template <class P, class T>
void scatter_channels(const Place<P>& at, const T* __restrict grad, P* __restrict sums, int64_t channels) {
  for (int tap = 0; tap < 4; ++tap) {
    if (!(at.within >> tap & 1)) continue;
    P* target = sums + at.offset[tap];
    const P weight = at.weight[tap];
    for (int64_t c = 0; c < channels; ++c) target[c] += weight * widen(grad[c]);
  }
}

template <class T>
void sample_forward(const Sampling& sampling, Image<const T> input, Positions<const Wide<T>> positions, Image<T> output,
                    int64_t begin, int64_t end) {
  using P = Wide<T>;
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
  const bool channels_together = input.channel == 1 && grad_output.channel == 1;
  for (int64_t index = begin; index < end; ++index) {
    const int64_t image = index / sampling.out_height, row = index % sampling.out_height;
    const T* source = input.data + image * input.image;
    const T* grad_row = grad_output.data + image * grad_output.image + row * grad_output.row;
    P* target_row = grad_positions.data + image * grad_positions.image + row * grad_positions.row;
    for_each_piece<P>(sampling, positions, image, row, input.row, input.column,
                      [&](const Place<P>* places, int64_t start, int64_t count) {
                        P x[kPixels] = {}, y[kPixels] = {};
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

template <class T>
void sample_backward_input(const Sampling& sampling, Image<const T> grad_output, Positions<const Wide<T>> positions,
                           Image<Wide<T>> sums, Image<T> grad_input, int64_t image, int64_t begin, int64_t end) {
  using P = Wide<T>;
  const bool channels_together = sums.channel == 1 && grad_output.channel == 1;
  P* const sums_image = sums.data + image * sums.image + begin * sums.channel;
  T* const result = grad_input.data + image * grad_input.image + begin * grad_input.channel;
  const T* const grad_image = grad_output.data + image * grad_output.image + begin * grad_output.channel;
  const int64_t channels = end - begin;

  const auto for_each_element = [&](const auto& body) {
    const bool channels_inside = sums.channel == 1;
    const int64_t planes = channels_inside ? 1 : channels, inside = channels_inside ? channels : 1;
    for (int64_t p = 0; p < planes; ++p)
      for (int64_t y = 0; y < sampling.height; ++y)
        for (int64_t x = 0; x < sampling.width; ++x)
          for (int64_t c = p; c < p + inside; ++c) body(c, y, x);
  };
  const auto sum_at = [&](int64_t c, int64_t y, int64_t x) -> P& {
    return sums_image[c * sums.channel + y * sums.row + x * sums.column];
  };
  for_each_element([&](int64_t c, int64_t y, int64_t x) { sum_at(c, y, x) = 0; });
  for (int64_t row = 0; row < sampling.out_height; ++row) {
    for_each_piece<P>(sampling, positions, image, row, sums.row, sums.column,
                      [&](const Place<P>* places, int64_t start, int64_t count) {
                        const T* grad = grad_image + row * grad_output.row + start * grad_output.column;
                        if (channels_together) {
                          for (int64_t i = 0; i < count; ++i) {
                            scatter_channels(places[i], grad + i * grad_output.column, sums_image, channels);
                          }
                          return;
                        }
                        for (int64_t c = 0; c < channels; ++c) {
                          P* plane = sums_image + c * sums.channel;
                          for (int64_t i = 0; i < count; ++i) {
                            const P g = widen(grad[c * grad_output.channel + i * grad_output.column]);
                            for (int tap = 0; tap < 4; ++tap) {
                              if (places[i].within >> tap & 1)
                                plane[places[i].offset[tap]] += places[i].weight[tap] * g;
                            }
                          }
                        }
                      });
  }
  if constexpr (!std::is_same_v<T, P>) {
    for_each_element([&](int64_t c, int64_t y, int64_t x) {
      result[c * grad_input.channel + y * grad_input.row + x * grad_input.column] = narrow<T>(sum_at(c, y, x));
    });
  }
}

template <class T>
constexpr SampleKernels<T> kKernels{sample_forward<T>, sample_backward_positions<T>, sample_backward_input<T>};

}  // namespace

namespace TRYON_KERNELS_VARIANT {
extern const Table<SampleKernels> kSample;
constinit const Table<SampleKernels> kSample{kKernels<float>, kKernels<double>, kKernels<Half>, kKernels<BFloat16>};
}  // namespace TRYON_KERNELS_VARIANT
}  // namespace tryon_kernels
