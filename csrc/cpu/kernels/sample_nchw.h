#pragma once

#include <algorithm>

#include "cpu/kernels/taps.h"

// Sampling of images in NCHW, or whose columns at least lie together: lanes are output pixels, placed once for all
// channels.
namespace tryon_kernels {
namespace {

constexpr int64_t kChannels = 8;  // are sampled at a time: what a tile reaches of them fits the first-level cache

// The values that a vector of pixels takes from one plane: value[row][column], 0 outside.
template <Reading R, class T, class P>
inline void read_taps(const Sampling& sampling, const T* plane, int64_t row_stride, const Tile<P>& tile,
                      const Taps<P>& taps, int64_t i, Vector<P> (&value)[2][2]) {
  if constexpr (R == Reading::kSpan || R == Reading::kSpans) {
    const auto place = load<Indices<P>>(taps.offset[0] + i);
    const T* row = plane + taps.span[i / kLanes<P>];
    Vector<P> found[3][2];
    for (int j = 0; j < (R == Reading::kSpan ? 2 : 3); ++j, row += row_stride) {
      const Vector<P> first = load_wide(row), second = load_wide(row + kLanes<P>);
      for (int k = 0; k < 2; ++k) found[j][k] = pick(first, second, place + k);
    }
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 2; ++k)
        value[j][k] =
            R == Reading::kSpan ? found[j][k] : where<P>(place < kSpanColumns<P>, found[j][k], found[j + 1][k]);
    return;
  }
  for (int j = 0; j < 2; ++j) {
    const int32_t* offset = taps.offset[j] + i;
    if constexpr (R == Reading::kRun) {
      value[j][0] = load_wide(plane + *offset);
      value[j][1] = load_wide(plane + *offset + 1);
    } else {
      read_pairs(plane, offset, value[j][0], value[j][1]);
    }
    if constexpr (R == Reading::kPartial) leave_out(sampling, tile, i, j, value[j][0], value[j][1]);
  }
}

// Calls body(first channel, channels, row, column) for the vectors of a tile and a few channels at a time.
template <class P, class Body>
inline void for_each_vector(const Sampling& sampling, const Tile<P>& tile, const Body& body) {
  for (int64_t channel = 0; channel < sampling.channels; channel += kChannels) {
    const int64_t channels = std::min(kChannels, sampling.channels - channel);
    for (int64_t row = 0; row < tile.rows; ++row)
      for (int64_t column = 0; column < tile.columns; column += kLanes<P>) body(channel, channels, row, column);
  }
}

template <class T>
[[gnu::flatten]] void sample_nchw(const Sampling& sampling, const Image<const T>& input,
                                  const Positions<const Wide<T>>& positions, const Image<T>& output, int64_t begin,
                                  int64_t end) {
  using P = Wide<T>;
  Taps<P> taps;
  for_each_tile<P>(sampling, positions, output.row == sampling.out_width, begin, end, [&](const Tile<P>& tile) {
    place_taps(sampling, input.row, 1, tile, taps);
    const T* source = input.data + tile.image * input.image;
    const bool far = is_far<T>(input.channel);
    T* target = first_pixel(output, tile);
    for_each_vector(sampling, tile, [&](int64_t channel, int64_t channels, int64_t row, int64_t column) {
      const int64_t i = row * tile.pitch + column, lanes = tile.columns - column;
      const Vector<P> u = load_wide(tile.x.fraction + i), v = load_wide(tile.y.fraction + i);
      const Vector<P> weight[2][2] = {{(1 - v) * (1 - u), (1 - v) * u}, {v * (1 - u), v * u}};
      const T* plane = source + channel * input.channel;
      T* to = target + channel * output.channel + row * output.row + column;
      const int64_t ahead = ahead_of(tile, taps, i, input.row);
      with_reading(taps.reading[i / kLanes<P>], [&]<Reading R>() {
        for (int64_t c = 0; c < channels; ++c, plane += input.channel, to += output.channel) {
          if (far) __builtin_prefetch(plane + ahead);
          Vector<P> value[2][2];
          read_taps<R>(sampling, plane, input.row, tile, taps, i, value);
          Vector<P> sum = weight[0][0] * value[0][0];
          sum += weight[0][1] * value[0][1];
          sum += weight[1][0] * value[1][0];
          sum += weight[1][1] * value[1][1];
          store_line<T>(to, sum, is_far<T>(output.channel), lanes);
        }
      });
    });
  });
}

template <class P>
void clear(const Tile<P>& tile, P* by_x, P* by_y) {
  for (int64_t i = 0; i < tile.rows * tile.pitch; i += kLanes<P>) {
    store(by_x + i, Vector<P>{});
    store(by_y + i, Vector<P>{});
  }
}

template <class T>
[[gnu::flatten]] void differentiate_nchw(const Sampling& sampling, const Image<const T>& grad_output,
                                         const Image<const T>& input, const Positions<const Wide<T>>& positions,
                                         const Positions<Wide<T>>& grad_positions, int64_t begin, int64_t end) {
  using P = Wide<T>;
  Taps<P> taps;
  for_each_tile<P>(sampling, positions, grad_output.row == sampling.out_width, begin, end, [&](const Tile<P>& tile) {
    place_taps(sampling, input.row, 1, tile, taps);
    const T* source = input.data + tile.image * input.image;
    const T* grads = first_pixel(grad_output, tile);
    const bool far = is_far<T>(input.channel);
    alignas(kVectorBytes) PerPixel<P, P> by_x, by_y;
    clear(tile, by_x, by_y);
    for_each_vector(sampling, tile, [&](int64_t channel, int64_t channels, int64_t row, int64_t column) {
      const int64_t i = row * tile.pitch + column, lanes = tile.columns - column;
      const T* plane = source + channel * input.channel;
      const T* from = grads + channel * grad_output.channel + row * grad_output.row + column;
      const int64_t ahead = ahead_of(tile, taps, i, input.row);
      Vector<P> upper{}, lower{}, left{}, right{};  // sums of gradient * (what a side changes by)
      with_reading(taps.reading[i / kLanes<P>], [&]<Reading R>() {
        for (int64_t c = 0; c < channels; ++c, plane += input.channel, from += grad_output.channel) {
          if (far) {
            __builtin_prefetch(plane + ahead);
            __builtin_prefetch(from + tile.below * grad_output.row);
          }
          const Vector<P> grad = load_wide(from, lanes);
          Vector<P> value[2][2];
          read_taps<R>(sampling, plane, input.row, tile, taps, i, value);
          upper += grad * (value[0][1] - value[0][0]);
          lower += grad * (value[1][1] - value[1][0]);
          left += grad * (value[1][0] - value[0][0]);
          right += grad * (value[1][1] - value[0][1]);
        }
      });
      const Vector<P> u = load_wide(tile.x.fraction + i), v = load_wide(tile.y.fraction + i);
      store(by_x + i, load_wide(by_x + i) + (1 - v) * upper + v * lower);
      store(by_y + i, load_wide(by_y + i) + (1 - u) * left + u * right);
    });
    store_gradients(sampling, tile, by_x, by_y, grad_positions);
  });
}

}  // namespace
}  // namespace tryon_kernels
