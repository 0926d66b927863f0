#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/image.h"
#include "cpu/kernels/vector.h"

// Pieces of image rows as inner loops want them: a pixel's channels together, in the wide number format.
namespace tryon_kernels {
namespace {

// Calls body(start) so that the blocks [start, start + size) cover [0, count): the last one may overlap the one before.
template <class Body>
inline void for_each_block(int64_t count, int64_t size, const Body& body) {
  for (int64_t start = 0; start < count; start += size) body(std::min(start, count - size));
}

// `columns` pixels of one row, from `from` on, to pixels that lie `pitch` apart.
template <class T, class P>
void pack(const T* from, const Image<const T>& image, int64_t channels, int64_t columns, P* to, int64_t pitch) {
  constexpr int64_t kSquare = kLanes<P>;
  if (image.channel == 1) {
    for (int64_t x = 0; x < columns; ++x)
      for (int64_t c = 0; c < channels; ++c) to[x * pitch + c] = widen(from[x * image.column + c]);
  } else if (image.column == 1 && channels >= kSquare && columns >= kSquare) {
    for_each_block(channels, kSquare, [&](int64_t c) {
      for_each_block(columns, kSquare, [&](int64_t x) {
        Vector<P> square[kSquare];
#pragma GCC unroll 16
        for (int64_t i = 0; i < kSquare; ++i) square[i] = load_any(from + (c + i) * image.channel + x);
        transpose<P>(square);
#pragma GCC unroll 16
        for (int64_t i = 0; i < kSquare; ++i) store_any(to + (x + i) * pitch + c, square[i]);
      });
    });
  } else {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t x = 0; x < columns; ++x) to[x * pitch + c] = widen(from[c * image.channel + x * image.column]);
  }
}

// The way back.
template <class T, class P>
void unpack(const P* from, int64_t pitch, int64_t channels, int64_t columns, T* to, const Image<T>& image) {
  constexpr int64_t kSquare = kLanes<P>;
  if (image.channel == 1) {
    for (int64_t x = 0; x < columns; ++x)
      for (int64_t c = 0; c < channels; ++c) to[x * image.column + c] = narrow<T>(from[x * pitch + c]);
  } else if (image.column == 1 && channels >= kSquare && columns >= kSquare) {
    for_each_block(channels, kSquare, [&](int64_t c) {
      for_each_block(columns, kSquare, [&](int64_t x) {
        Vector<P> square[kSquare];
#pragma GCC unroll 16
        for (int64_t i = 0; i < kSquare; ++i) square[i] = load_any(from + (x + i) * pitch + c);
        transpose<P>(square);
#pragma GCC unroll 16
        for (int64_t i = 0; i < kSquare; ++i) store_any(to + (c + i) * image.channel + x, square[i]);
      });
    });
  } else {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t x = 0; x < columns; ++x) to[c * image.channel + x * image.column] = narrow<T>(from[x * pitch + c]);
  }
}

}  // namespace
}  // namespace tryon_kernels
