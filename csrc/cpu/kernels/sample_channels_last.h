#pragma once

#include <algorithm>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/sample_positions.h"

// Sampling pixel by pixel: lanes are channels where those lie together. Other strides than those of channels_last and
// NCHW come here too, and go number by number.
namespace tryon_kernels {
namespace {

constexpr int64_t kBeyondSharedCaches = 16 * 1024 * 1024;  // bytes written by one thread, of which little is kept

// One output pixel's four taps (top left, top right, bottom left, bottom right).
template <class T>
struct Corners {
  const T* tap[4];       // null outside
  Wide<T> right, lower;  // fractions of the way to the right and lower taps
};

template <class T>
inline Corners<T> corners_of(const Sampling& sampling, const Image<const T>& input, const Tile<Wide<T>>& tile,
                             int64_t i) {
  const int64_t left = tile.x.first[i], top = tile.y.first[i];
  const T* image = input.data + tile.image * input.image;
  const bool columns[2] = {is_index(left, sampling.width), is_index(left + 1, sampling.width)};
  const bool rows[2] = {is_index(top, sampling.height), is_index(top + 1, sampling.height)};
  Corners<T> corners{{}, tile.x.fraction[i], tile.y.fraction[i]};
  for (int j = 0; j < 2; ++j)
    for (int k = 0; k < 2; ++k)
      corners.tap[2 * j + k] =
          rows[j] && columns[k] ? image + (top + j) * input.row + (left + k) * input.column : nullptr;
  return corners;
}

// Whether all taps are within.
template <class T>
inline bool are_within(const Corners<T>& corners) {
  return corners.tap[0] && corners.tap[1] && corners.tap[2] && corners.tap[3];
}

// Calls body(channel, lanes) for vectors of channels. The last may overlap the one before, or else has fewer lanes.
template <class P, bool MayOverlap, class Body>
inline void for_each_vector(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + kLanes<P> <= channels; c += kLanes<P>) body(c, kLanes<P>);
  if (c == channels) return;
  if (MayOverlap && channels >= kLanes<P>) {
    body(channels - kLanes<P>, kLanes<P>);
  } else {
    body(c, channels - c);
  }
}

template <bool Within, class T>
inline void sample_pixel(const Corners<T>& corners, T* output, int64_t channels, bool past_caches) {
  using P = Wide<T>;
  const P u = corners.right, v = corners.lower;
  const P weight[4] = {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u};
  for_each_vector<P, true>(channels, [&](int64_t c, int64_t lanes) {
    Vector<P> sum{};
    for (int tap = 0; tap < 4; ++tap) {
      if (Within || corners.tap[tap]) sum += weight[tap] * load_wide(corners.tap[tap] + c, lanes);
    }
    store_line<T>(output + c, sum, past_caches, lanes);
  });
}

// The sum of each vector's lanes.
template <class P>
inline void sums_of_four(Vector<P> a, Vector<P> b, Vector<P> c, Vector<P> d, P* to) {
  if constexpr (kLanes<P> >= 4) {
    Vector<P> sums = fold<1, P>(fold<2, P>(a, c), fold<2, P>(b, d));
    if constexpr (kLanes<P> >= 8) sums = fold<4, P>(sums, sums);
    if constexpr (kLanes<P> >= 16) sums = fold<8, P>(sums, sums);
    std::memcpy(to, &sums, 4 * sizeof(P));
  } else {
    store(to, fold<1, P>(a, b));
    store(to + 2, fold<1, P>(c, d));
  }
}

// Gradient by the pixel's position.
template <bool Within, class T, class P = Wide<T>>
inline void differentiate_pixel(const Corners<T>& corners, const T* grad, int64_t channels, P& by_x, P& by_y) {
  const P u = corners.right, v = corners.lower;
  Vector<P> upper{}, lower{}, left{}, right{};  // sums of gradient * (what a side changes by)
  for_each_vector<P, false>(channels, [&](int64_t c, int64_t lanes) {
    Vector<P> value[4];
    for (int tap = 0; tap < 4; ++tap)
      value[tap] = Within || corners.tap[tap] ? load_wide(corners.tap[tap] + c, lanes) : Vector<P>{};
    const Vector<P> g = load_wide(grad + c, lanes);
    upper += g * (value[1] - value[0]);
    lower += g * (value[3] - value[2]);
    left += g * (value[2] - value[0]);
    right += g * (value[3] - value[1]);
  });
  P sums[4];
  sums_of_four<P>(upper, lower, left, right, sums);
  by_x = (1 - v) * sums[0] + v * sums[1];
  by_y = (1 - u) * sums[2] + u * sums[3];
}

// Channels that lie apart, number by number. They are rare, so the code is kept small rather than fast.
template <class T>
inline void read_numbers(const Corners<T>& corners, int64_t offset, Wide<T> (&value)[4]) {
  for (int tap = 0; tap < 4; ++tap) value[tap] = corners.tap[tap] ? widen(corners.tap[tap][offset]) : Wide<T>{0};
}

template <class T>
[[gnu::cold]] void sample_strided(const Corners<T>& corners, int64_t channels, int64_t step, T* to, int64_t to_step) {
  using P = Wide<T>;
  const P u = corners.right, v = corners.lower;
  for (int64_t c = 0; c < channels; ++c) {
    P value[4];
    read_numbers(corners, c * step, value);
    const P upper = (1 - u) * value[0] + u * value[1], lower = (1 - u) * value[2] + u * value[3];
    to[c * to_step] = narrow<T>((1 - v) * upper + v * lower);
  }
}

template <class T>
[[gnu::cold]] void differentiate_strided(const Corners<T>& corners, int64_t channels, int64_t step, const T* grad,
                                         int64_t grad_step, Wide<T>& by_x, Wide<T>& by_y) {
  using P = Wide<T>;
  const P u = corners.right, v = corners.lower;
  by_x = by_y = 0;
  for (int64_t c = 0; c < channels; ++c) {
    P value[4];
    read_numbers(corners, c * step, value);
    const P g = widen(grad[c * grad_step]);
    by_x += g * ((value[1] - value[0]) * (1 - v) + (value[3] - value[2]) * v);
    by_y += g * ((value[2] - value[0]) * (1 - u) + (value[3] - value[1]) * u);
  }
}

// Calls body(i, pointer to the pixel in `image`) for the pixels of a tile.
template <class T, class P, class Body>
inline void for_each_pixel(const Tile<P>& tile, const Image<T>& image, const Body& body) {
  T* const first = first_pixel(image, tile);
  for (int64_t row = 0; row < tile.rows; ++row)
    for (int64_t column = 0; column < tile.columns; ++column)
      body(row * tile.pitch + column, first + row * image.row + column * image.column);
}

template <class T>
void sample_channels_last(const Sampling& sampling, const Image<const T>& input,
                          const Positions<const Wide<T>>& positions, const Image<T>& output, int64_t begin,
                          int64_t end) {
  using P = Wide<T>;
  const bool past_caches = (end - begin) * output.row * static_cast<int64_t>(sizeof(T)) >= kBeyondSharedCaches;
  for_each_tile<P>(sampling, positions, rows_follow(sampling, output), begin, end, [&](const Tile<P>& tile) {
    for_each_pixel(tile, output, [&](int64_t i, T* to) {
      const Corners<T> corners = corners_of(sampling, input, tile, i);
      if (input.channel != 1 || output.channel != 1) {
        sample_strided(corners, sampling.channels, input.channel, to, output.channel);
      } else if (are_within(corners)) {
        sample_pixel<true>(corners, to, sampling.channels, past_caches);
      } else {
        sample_pixel<false>(corners, to, sampling.channels, past_caches);
      }
    });
  });
}

template <class T>
void differentiate_channels_last(const Sampling& sampling, const Image<const T>& grad_output,
                                 const Image<const T>& input, const Positions<const Wide<T>>& positions,
                                 const Positions<Wide<T>>& grad_positions, int64_t begin, int64_t end) {
  using P = Wide<T>;
  for_each_tile<P>(sampling, positions, rows_follow(sampling, grad_output), begin, end, [&](const Tile<P>& tile) {
    alignas(kVectorBytes) PerPixel<P, P> by_x, by_y;
    for_each_pixel(tile, grad_output, [&](int64_t i, const T* grad) {
      const Corners<T> corners = corners_of(sampling, input, tile, i);
      if (input.channel != 1 || grad_output.channel != 1) {
        differentiate_strided(corners, sampling.channels, input.channel, grad, grad_output.channel, by_x[i], by_y[i]);
      } else if (are_within(corners)) {
        differentiate_pixel<true>(corners, grad, sampling.channels, by_x[i], by_y[i]);
      } else {
        differentiate_pixel<false>(corners, grad, sampling.channels, by_x[i], by_y[i]);
      }
    });
    store_gradients(sampling, tile, by_x, by_y, grad_positions);
  });
}

}  // namespace
}  // namespace tryon_kernels
