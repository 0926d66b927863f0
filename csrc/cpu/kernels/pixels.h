#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/lanes.h"
#include "image.h"

// Parts of image rows from one order in memory to another.
namespace tryon_kernels {
namespace {

// Pixels of one row: strides from channel to channel and from column to column.
template <class T>
struct Pixels {
  T* data;
  int64_t channel, column;
};

template <class T>
Pixels<T> pixels_of(const Image<T>& image, int64_t n, int64_t c, int64_t y, int64_t x) {
  return {image.data + n * image.image + c * image.channel + y * image.row + x * image.column, image.channel,
          image.column};
}

template <class From, class To>
inline To converted(From value) {
  if constexpr (std::is_same_v<From, To>) {
    return value;
  } else if constexpr (std::is_same_v<To, Wide<To>>) {
    return widen(value);
  } else {
    return narrow<To>(widen(value));
  }
}

// A square of lanes, rows to columns. It stays in registers, for all of its loops are unrolled.
template <class From, class To>
inline void transpose_square(const From* from, int64_t from_step, To* to, int64_t to_step) {
  using P = Wide<From>;
  Vector<P> square[kLanes<P>];
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes<P>; ++i) square[i] = load_wide(from + i * from_step);
  transpose<P>(square);
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes<P>; ++i) store_line<To>(to + i * to_step, square[i], is_far<To>(to_step));
}

// Rows of numbers that follow one another to columns of such; the last squares may overlap those before.
template <class From, class To>
void transpose_rows(const From* from, int64_t from_step, To* to, int64_t to_step, int64_t rows, int64_t length) {
  constexpr int64_t kSquare = kLanes<Wide<From>>;
  for (int64_t row = 0; row < rows; row += kSquare) {
    const int64_t r = std::min(row, rows - kSquare);
    for (int64_t start = 0; start < length; start += kSquare) {
      const int64_t i = std::min(start, length - kSquare);
      transpose_square(from + r * from_step + i, from_step, to + i * to_step + r, to_step);
    }
  }
}

constexpr int64_t kPairedRows = 2 * kFloats;

// The same of numbers of half a lane's size that stay as they are. Two rows become one of pairs first, so that there
// are half as many squares.
template <class T>
void transpose_pairs(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t rows, int64_t length) {
  for (int64_t row = 0; row < rows; row += kPairedRows) {
    const int64_t r = std::min(row, rows - kPairedRows);
    for (int64_t start = 0; start < length; start += kFloats) {
      const int64_t i = std::min(start, length - kFloats);
      Vector<float> square[kFloats];
#pragma GCC unroll 16
      for (int64_t pair = 0; pair < kFloats; ++pair) {
        const T* const first = from + (r + 2 * pair) * from_step + i;
        const auto low = __builtin_convertvector(load<Halves>(first), Words);
        const auto high = __builtin_convertvector(load<Halves>(first + from_step), Words);
        square[pair] = (Vector<float>)(low | high << 16);
      }
      transpose<float>(square);
#pragma GCC unroll 16
      for (int64_t column = 0; column < kFloats; ++column) store(to + (i + column) * to_step + r, square[column]);
    }
  }
}

template <class From, class To>
void copy_pixels(const Pixels<const From>& from, const Pixels<To>& to, int64_t channels, int64_t columns) {
  const bool has_squares = std::min(channels, columns) >= kLanes<Wide<From>>;
  if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, BFloat16>) {
    if (channels >= kPairedRows && columns >= kFloats && from.column == 1 && to.channel == 1)
      return transpose_pairs(from.data, from.channel, to.data, to.column, channels, columns);
    if (columns >= kPairedRows && channels >= kFloats && from.channel == 1 && to.column == 1)
      return transpose_pairs(from.data, from.column, to.data, to.channel, columns, channels);
  }
  if (from.column == 1 && to.column == 1) {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t x = 0; x < columns; ++x)
        to.data[c * to.channel + x] = converted<From, To>(from.data[c * from.channel + x]);
  } else if (from.channel == 1 && to.channel == 1) {
    for (int64_t x = 0; x < columns; ++x)
      for (int64_t c = 0; c < channels; ++c)
        to.data[x * to.column + c] = converted<From, To>(from.data[x * from.column + c]);
  } else if (has_squares && from.column == 1 && to.channel == 1) {
    transpose_rows(from.data, from.channel, to.data, to.column, channels, columns);
  } else if (has_squares && from.channel == 1 && to.column == 1) {
    transpose_rows(from.data, from.column, to.data, to.channel, columns, channels);
  } else {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t x = 0; x < columns; ++x)
        to.data[c * to.channel + x * to.column] = converted<From, To>(from.data[c * from.channel + x * from.column]);
  }
}

}  // namespace
}  // namespace tryon_kernels
