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
// are half as many squares. A row may be shorter than a vector.
template <class T>
void transpose_pairs(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t rows, int64_t length) {
  const int64_t count = std::min(length, kFloats);
  for (int64_t row = 0; row < rows; row += kPairedRows) {
    const int64_t r = std::min(row, rows - kPairedRows);
    for (int64_t start = 0; start < length; start += kFloats) {
      const int64_t i = std::min(start, length - count);
      Vector<float> square[kFloats];
#pragma GCC unroll 16
      for (int64_t pair = 0; pair < kFloats; ++pair) {
        const T* const first = from + (r + 2 * pair) * from_step + i;
        square[pair] = (Vector<float>)(load_words(first, count) | load_words(first + from_step, count) << 16);
      }
      transpose<float>(square);
#pragma GCC unroll 16
      for (int64_t column = 0; column < kFloats; ++column)
        if (column < count) store(to + (i + column) * to_step + r, square[column]);
    }
  }
}

// Pixels' numbers, two to a lane, to lanes of pixels.
template <class T>
inline void load_pairs(const T* from, int64_t step, int64_t count, Vector<float> (&square)[kFloats]) {
#pragma GCC unroll 16
  for (int64_t pixel = 0; pixel < kFloats; ++pixel)
    square[pixel] = pixel < count ? load<Vector<float>>(from + pixel * step) : Vector<float>{};
  transpose<float>(square);
}

// The way back, for at least as many numbers of a pixel as two vectors have lanes. Where there are as many columns too,
// they are stored in whole lines.
template <class T>
void split_pairs(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t columns, int64_t length) {
  using Line = Lanes<uint16_t, kPairedRows>;
  const bool past_caches = is_far<float>(to_step);  // planes half as far apart as float32's are on other pages too
  constexpr auto low = [](int64_t lane) { return 2 * lane; };
  constexpr auto high = [](int64_t lane) { return 2 * lane + 1; };
  const int64_t wanted = columns >= kPairedRows ? kPairedRows : kFloats, count = std::min(columns, wanted);
  for (int64_t start = 0; start < columns; start += wanted) {
    const int64_t x = std::min(start, columns - count);
    for (int64_t next = 0; next < length; next += kPairedRows) {
      const int64_t i = std::min(next, length - kPairedRows);
      Vector<float> left[kFloats], right[kFloats];
      load_pairs(from + x * from_step + i, from_step, count, left);
      if (count == kPairedRows) load_pairs(from + (x + kFloats) * from_step + i, from_step, kFloats, right);
#pragma GCC unroll 16
      for (int64_t pair = 0; pair < kFloats; ++pair) {
        T* const first = to + (i + 2 * pair) * to_step + x;
        if (count == kPairedRows) {
          constexpr auto kLanesOfLine = std::make_integer_sequence<int64_t, kPairedRows>();
          const auto a = (Line)left[pair], b = (Line)right[pair];
          store_bits(first, shuffle<low>(a, b, kLanesOfLine), past_caches);
          store_bits(first + to_step, shuffle<high>(a, b, kLanesOfLine), past_caches);
        } else {
          store_words(first, (Words)left[pair] & 0xffff, count);
          store_words(first + to_step, (Words)left[pair] >> 16 & 0xffff, count);
        }
      }
    }
  }
}

template <class From, class To>
void copy_pixels(const Pixels<const From>& from, const Pixels<To>& to, int64_t channels, int64_t columns) {
  const bool has_squares = std::min(channels, columns) >= kLanes<Wide<From>>;
  if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, BFloat16>) {
    if (channels >= kPairedRows && from.column == 1 && to.channel == 1)
      return transpose_pairs(from.data, from.channel, to.data, to.column, channels, columns);
    if (channels >= kPairedRows && from.channel == 1 && to.column == 1)
      return split_pairs(from.data, from.column, to.data, to.channel, columns, channels);
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
