#include "cpu/kernels/sample.h"

#include <algorithm>

namespace tryon_kernels {
namespace {

// One output pixel's place in the input: four taps (top left, top right, bottom left, bottom right).
template <class P>
struct Place {
  int64_t offset[4];  // of an element; meaningless for a tap outside
  P weight[4];
  bool within[4];
  bool all_within;
  P right, lower;      // fractions of the way to the right and lower taps
  P slope_x, slope_y;  // of the pixel position by the given one; 0 where it was confined
};

constexpr int64_t kPixels = 64;  // of a row are placed at a time: their places stay in the first-level cache

template <class P>
P to_pixels(P given, int64_t index, int64_t size, Coordinates coordinates, P& slope) {
  switch (coordinates) {
    case Coordinates::kPixelOffsets:
      slope = 1;
      return given + static_cast<P>(index);
    case Coordinates::kCornersAligned:
      slope = static_cast<P>(size - 1) / 2;
      return (given + 1) / 2 * static_cast<P>(size - 1);
    default:
      slope = static_cast<P>(size) / 2;
      return ((given + 1) * static_cast<P>(size) - 1) / 2;
  }
}

// Brings a position in from where it changes nothing any more: the outer pixels, or for zeros a place whose taps are
// all outside. NaN compares false with everything and so goes to the low end.
template <class P>
P confine(P position, int64_t size, bool border, P& slope) {
  const P low = border ? 0 : -2;
  const P high = static_cast<P>(border ? size - 1 : size);
  const bool inside = border ? position > low && position < high : position >= -1 && position <= high;
  if (inside) return position;
  slope = 0;
  return position >= high ? high : low;
}

// floor, for a position that fits an int64; without a call into the maths library, which baseline x86-64 needs for it.
template <class P>
int64_t whole_part(P position) {
  const int64_t truncated = static_cast<int64_t>(position);
  return truncated - (position < static_cast<P>(truncated));
}

template <class P>
Place<P> place(const Sampling& sampling, P given_x, P given_y, int64_t column, int64_t row, int64_t row_stride,
               int64_t column_stride) {
  Place<P> result;
  const P x = confine(to_pixels(given_x, column, sampling.width, sampling.coordinates, result.slope_x), sampling.width,
                      sampling.border, result.slope_x);
  const P y = confine(to_pixels(given_y, row, sampling.height, sampling.coordinates, result.slope_y), sampling.height,
                      sampling.border, result.slope_y);
  const int64_t left = whole_part(x), top = whole_part(y);
  result.right = x - static_cast<P>(left);
  result.lower = y - static_cast<P>(top);
  const bool top_within = top >= 0 && top < sampling.height, bottom_within = top >= -1 && top + 1 < sampling.height;
  const bool left_within = left >= 0 && left < sampling.width, right_within = left >= -1 && left + 1 < sampling.width;
  result.within[0] = top_within & left_within;
  result.within[1] = top_within & right_within;
  result.within[2] = bottom_within & left_within;
  result.within[3] = bottom_within & right_within;
  result.all_within = top_within & bottom_within & left_within & right_within;
  result.offset[0] = top * row_stride + left * column_stride;
  result.offset[1] = result.offset[0] + column_stride;
  result.offset[2] = result.offset[0] + row_stride;
  result.offset[3] = result.offset[2] + column_stride;
  result.weight[0] = (1 - result.lower) * (1 - result.right);
  result.weight[1] = (1 - result.lower) * result.right;
  result.weight[2] = result.lower * (1 - result.right);
  result.weight[3] = result.lower * result.right;
  return result;
}

// Calls body(places, image, row, first column, count) for pieces of one output row.
template <class P, class Body>
void for_each_piece(const Sampling& sampling, Positions<const P> positions, int64_t image, int64_t row,
                    int64_t row_stride, int64_t column_stride, const Body& body) {
  Place<P> places[kPixels];
  const P* given = positions.data + image * positions.image + row * positions.row;
  for (int64_t start = 0; start < sampling.out_width; start += kPixels) {
    const int64_t count = std::min(kPixels, sampling.out_width - start);
    for (int64_t i = 0; i < count; ++i) {
      const P* pair = given + (start + i) * positions.column;
      places[i] = place(sampling, pair[0], pair[positions.axis], start + i, row, row_stride, column_stride);
    }
    body(places, start, count);
  }
}

template <class T, class P>
P interpolate(const Place<P>& at, const T* input) {
  if (at.all_within) {
    return at.weight[0] * widen(input[at.offset[0]]) + at.weight[1] * widen(input[at.offset[1]]) +
           at.weight[2] * widen(input[at.offset[2]]) + at.weight[3] * widen(input[at.offset[3]]);
  }
  P sum = 0;
  for (int tap = 0; tap < 4; ++tap) {
    if (at.within[tap]) sum += at.weight[tap] * widen(input[at.offset[tap]]);
  }
  return sum;
}

// Four taps' values, 0 outside.
template <class T, class P>
void read_taps(const Place<P>& at, const T* input, P (&value)[4]) {
  for (int tap = 0; tap < 4; ++tap) value[tap] = at.within[tap] ? widen(input[at.offset[tap]]) : P{0};
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
  if (!at.all_within) {
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
  if (at.all_within) {
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
    if (!at.within[tap]) continue;
    P* target = sums + at.offset[tap];
    const P weight = at.weight[tap];
    for (int64_t c = 0; c < channels; ++c) target[c] += weight * widen(grad[c]);
  }
}

}  // namespace

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
                              if (places[i].within[tap]) plane[places[i].offset[tap]] += places[i].weight[tap] * g;
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

#define INSTANTIATE(T)                                                                                              \
  template void sample_forward<T>(const Sampling&, Image<const T>, Positions<const Wide<T>>, Image<T>, int64_t,     \
                                  int64_t);                                                                         \
  template void sample_backward_positions<T>(const Sampling&, Image<const T>, Image<const T>,                       \
                                             Positions<const Wide<T>>, Positions<Wide<T>>, int64_t, int64_t);       \
  template void sample_backward_input<T>(const Sampling&, Image<const T>, Positions<const Wide<T>>, Image<Wide<T>>, \
                                         Image<T>, int64_t, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(Half)
INSTANTIATE(BFloat16)
#undef INSTANTIATE

}  // namespace tryon_kernels
