#pragma once

#include <algorithm>

#include "cpu/kernels/interleave.h"
#include "cpu/kernels/taps.h"

// Sampling of images whose pixels are three numbers each, as RGB pictures in channels_last are: lanes are output
// pixels. The six numbers of two neighbours follow one another, and are read two by two.
namespace tryon_kernels {
namespace {

constexpr int64_t kRgb = 3;

// Fetches as much as a vector of pixels that follow one another.
template <class T>
inline void fetch(const T* from) {
  constexpr auto kBytes = static_cast<int64_t>(kRgb * kLanes<Wide<T>> * sizeof(T));
  for (int64_t at = 0; at < kBytes; at += kLineBytes) __builtin_prefetch(reinterpret_cast<const char*>(from) + at);
}

// value[row][column][channel]; 0 outside.
template <bool Within, class T, class P>
inline void read_taps(const Sampling& sampling, const T* source, const Tile<P>& tile, const Taps<P>& taps, int64_t i,
                      Vector<P> (&value)[2][2][kRgb]) {
  for (int j = 0; j < 2; ++j) {
    Vector<P> number[2 * kRgb];
    for (int64_t k = 0; k < 2 * kRgb; k += 2) read_pairs(source + k, taps.offset[j] + i, number[k], number[k + 1]);
    for (int64_t c = 0; c < kRgb; ++c) {
      value[j][0][c] = number[c];
      value[j][1][c] = number[kRgb + c];
      if constexpr (!Within) leave_out(sampling, tile, i, j, value[j][0][c], value[j][1][c]);
    }
  }
}

// Calls body<within>(i, pointer to the pixel in `image`, pixels) for the vectors of a tile.
template <class T, class P, class Body>
inline void for_each_vector(const Tile<P>& tile, const Taps<P>& taps, const Image<T>& image, const Body& body) {
  T* const first = first_pixel(image, tile);
  for (int64_t row = 0; row < tile.rows; ++row) {
    for (int64_t column = 0; column < tile.columns; column += kLanes<P>) {
      const int64_t i = row * tile.pitch + column;
      T* const at = first + row * image.row + column * image.column;
      if (taps.reading[i / kLanes<P>] == Reading::kPartial) {
        body.template operator()<false>(i, at, tile.columns - column);
      } else {
        body.template operator()<true>(i, at, tile.columns - column);
      }
    }
  }
}

template <class T>
[[gnu::flatten]] void sample_rgb(const Sampling& sampling, const Image<const T>& input,
                                 const Positions<const Wide<T>>& positions, const Image<T>& output, int64_t begin,
                                 int64_t end) {
  using P = Wide<T>;
  Taps<P> taps;
  for_each_tile<P>(sampling, positions, rows_follow(sampling, output), begin, end, [&](const Tile<P>& tile) {
    place_taps(sampling, input.row, kRgb, tile, taps);
    const T* source = input.data + tile.image * input.image;
    for_each_vector(tile, taps, output, [&]<bool Within>(int64_t i, T* to, int64_t pixels) {
      const Vector<P> u = load_wide(tile.x.fraction + i), v = load_wide(tile.y.fraction + i);
      const Vector<P> weight[2][2] = {{(1 - v) * (1 - u), (1 - v) * u}, {v * (1 - u), v * u}};
      fetch(source + ahead_of(tile, taps, i, input.row));
      Vector<P> value[2][2][kRgb], sum[kRgb];
      read_taps<Within>(sampling, source, tile, taps, i, value);
      for (int64_t c = 0; c < kRgb; ++c) {
        sum[c] = weight[0][0] * value[0][0][c];
        sum[c] += weight[0][1] * value[0][1][c];
        sum[c] += weight[1][0] * value[1][0][c];
        sum[c] += weight[1][1] * value[1][1][c];
      }
      store_interleaved<kRgb, T>(to, pixels, sum, is_far<T>(output.image));
    });
  });
}

template <class T>
[[gnu::flatten]] void differentiate_rgb(const Sampling& sampling, const Image<const T>& grad_output,
                                        const Image<const T>& input, const Positions<const Wide<T>>& positions,
                                        const Positions<Wide<T>>& grad_positions, int64_t begin, int64_t end) {
  using P = Wide<T>;
  Taps<P> taps;
  for_each_tile<P>(sampling, positions, rows_follow(sampling, grad_output), begin, end, [&](const Tile<P>& tile) {
    place_taps(sampling, input.row, kRgb, tile, taps);
    const T* source = input.data + tile.image * input.image;
    alignas(kVectorBytes) PerPixel<P, P> by_x, by_y;
    for_each_vector(tile, taps, grad_output, [&]<bool Within>(int64_t i, const T* from, int64_t pixels) {
      Vector<P> grad[kRgb], value[2][2][kRgb];
      fetch(source + ahead_of(tile, taps, i, input.row));
      fetch(from + tile.below * grad_output.row);
      load_interleaved<kRgb, T>(from, pixels, grad);
      read_taps<Within>(sampling, source, tile, taps, i, value);
      Vector<P> upper{}, lower{}, left{}, right{};  // sums of gradient * (what a side changes by)
      for (int64_t c = 0; c < kRgb; ++c) {
        upper += grad[c] * (value[0][1][c] - value[0][0][c]);
        lower += grad[c] * (value[1][1][c] - value[1][0][c]);
        left += grad[c] * (value[1][0][c] - value[0][0][c]);
        right += grad[c] * (value[1][1][c] - value[0][1][c]);
      }
      const Vector<P> u = load_wide(tile.x.fraction + i), v = load_wide(tile.y.fraction + i);
      store(by_x + i, (1 - v) * upper + v * lower);
      store(by_y + i, (1 - u) * left + u * right);
    });
    store_gradients(sampling, tile, by_x, by_y, grad_positions);
  });
}

}  // namespace
}  // namespace tryon_kernels
