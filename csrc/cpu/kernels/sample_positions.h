#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/interleave.h"
#include "cpu/kernels/sample.h"

// Where output pixels fall in the input. Along each axis of a tile's pixels:
//
//    input pixels      first        first + 1
//                  ------+------------*---+------    * is where the output pixel samples
//                        |  fraction  |
//
// `locate` makes first and fraction from the given positions.
namespace tryon_kernels {
namespace {

// Output pixels are placed a tile at a time:
//
//    in_tiles: 16 x 16 pixels, or 16 x 32 of images      through_rows: 256 pixels of a narrow output, row after row
//        +-------+-------+---+                               +-----------+
//        |   0   |   1   | 2 |                               |0 0 0 0 0 0|
//        |       |       |   |                               |0 0 0 1 1 1|
//        +-------+-------+---+                               |1 1 1 1 1 1|
//        |   3   |   4   | 5 |                               |2 2 2 ...  |
//
// What is known of a tile stays in the first-level cache, and so does what it reaches of the input. Where a flow leads
// across rows, neighbours above and below share cache lines and pages, so tiles of many channels are square. Those of
// few are wider, for an image comes from memory, which gives more when a row is read on.
constexpr int64_t kTileRows = 16, kTileColumns = 16, kWideTileColumns = 32;
constexpr int64_t kFewChannels = 4;
constexpr int64_t kRunPixels = 256;  // through several rows, where these are narrow
constexpr int64_t kNarrowColumns = 64;
constexpr int64_t kPixels = std::max(kTileRows * kWideTileColumns, kRunPixels);  // at most

// One number for each pixel; vectors may reach beyond the last.
template <class P, class Number>
using PerPixel = Number[kPixels + kLanes<P>];

// Where pixels fall along one axis: between pixel `first` of the input and the next.
template <class P>
struct alignas(kVectorBytes) Along {
  PerPixel<P, int32_t> first;
  PerPixel<P, P> fraction;
  PerPixel<P, P> slope;  // of the pixel position by the given one; 0 where it was confined
};

// A tile of output pixels of one image, or some that follow one another through several narrow rows: a tile of one row.
template <class P>
struct Tile {
  int64_t image, row, column;    // of the first pixel
  int64_t rows, columns, pitch;  // from a row's first pixel to the next one's
  int64_t below;                 // rows from here to the next tile below
  Along<P> x, y;
};

template <class P>
using Indices = Lanes<int32_t, kLanes<P>>;

template <class P>
using Mask = decltype(Vector<P>{} > 0);

// Lane by lane, whether the value is in [0, size).
template <class P>
inline Indices<P> are_indices(Indices<P> value, int32_t size) {
  using Unsigned = Lanes<uint32_t, kLanes<P>>;
  return (Unsigned)value < static_cast<uint32_t>(size);
}

// From given positions to those in pixels; `index` is the output pixel's own.
template <Coordinates C, class P>
inline Vector<P> to_pixels(Vector<P> given, Vector<P> index, P size) {
  if constexpr (C == Coordinates::kPixelOffsets) return given + index;
  if constexpr (C == Coordinates::kCornersAligned) return (given + 1) / 2 * (size - 1);
  return ((given + 1) * size - 1) / 2;
}

template <class P>
P slope_of(Coordinates coordinates, P size) {
  if (coordinates == Coordinates::kPixelOffsets) return 1;
  return coordinates == Coordinates::kCornersAligned ? (size - 1) / 2 : size / 2;
}

// Every second number. The last one read is the last one wanted.
template <class P>
inline Vector<P> load_every_second(const P* from) {
  constexpr auto source = [](int64_t lane) { return 2 * lane < kLanes<P> ? 2 * lane : 2 * lane + 1; };
  return shuffle<source, P>(load_wide(from), load_wide(from + kLanes<P> - 1));
}

template <class P>
inline Vector<P> load_strided(const P* from, int64_t stride, int64_t count) {
  if (count >= kLanes<P> && stride == 1) return load_wide(from);
  if (count >= kLanes<P> && stride == 2) return load_every_second(from);
  P lanes[kLanes<P>] = {};
  for (int64_t lane = 0; lane < std::min(count, kLanes<P>); ++lane) lanes[lane] = from[lane * stride];
  return load<Vector<P>>(lanes);
}

// Rows and columns of output pixels; `pitch` leads from a row's first pixel to the next one's.
struct Extent {
  int64_t rows, columns, pitch;
};

// Positions are brought in from where they change nothing any more: to the outer pixels, or for zeros to a place whose
// taps are all outside. NaN compares false with everything and so goes to the low end.
template <bool Border, class P>
inline void confine(Vector<P> position, P size, P slope, int64_t i, Along<P>& along) {
  const Vector<P> zero{}, low = zero + (Border ? 0 : -2), high = zero + (Border ? size - 1 : size);
  const Mask<P> inside = Border ? (position > low) & (position < high) : (position >= zero - 1) & (position <= high);
  const Vector<P> end = position >= high ? high : low;
  const Vector<P> confined = inside ? position : end;
  // Truncation and a correction are floor, without the call into the maths library that baseline x86-64 needs.
  const auto truncated = __builtin_convertvector(confined, Indices<P>);
  const Mask<P> above = __builtin_convertvector(truncated, Vector<P>) > confined;
  const Indices<P> first = truncated + __builtin_convertvector(above, Indices<P>);  // a mask is -1 where it holds
  store(along.first + i, first);
  store(along.fraction + i, confined - __builtin_convertvector(first, Vector<P>));
  store(along.slope + i, inside ? zero + slope : zero);
}

// Along one axis, from `at` on; the first pixel's own position is `index`, and `down` and `across` lead to its
// neighbours'. Once for all callers: compiled into each of them, it would be most of their code.
template <class P>
[[gnu::noinline]] void locate(const Sampling& sampling, const P* given, int64_t row_stride, int64_t stride,
                              const Extent& extent, int64_t index, int64_t down, int64_t across, int64_t pixels,
                              int64_t at, Along<P>& along) {
  const P size = static_cast<P>(pixels), slope = slope_of(sampling.coordinates, size);
  Vector<P> steps;
  for (int64_t lane = 0; lane < kLanes<P>; ++lane) steps[lane] = static_cast<P>(lane * across);
  // To what the tile below will read. Where x and y take turns, a vector of both fills two lines: one axis fetches
  // each.
  const int64_t ahead = extent.rows * row_stride + down * kLanes<P> / 2 * stride;
  const auto read = [&]<Coordinates C, bool Border>() {
    for (int64_t row = 0; row < extent.rows; ++row, given += row_stride, at += extent.pitch) {
      for (int64_t i = 0; i < extent.columns; i += kLanes<P>) {
        const Vector<P> own = steps + static_cast<P>(index + row * down + i * across);
        __builtin_prefetch(given + i * stride + ahead);
        const Vector<P> position = load_strided(given + i * stride, stride, extent.columns - i);
        confine<Border>(to_pixels<C>(position, own, size), size, slope, at + i, along);
      }
    }
  };
  const auto read_bordered = [&]<Coordinates C>() {
    sampling.border ? read.template operator()<C, true>() : read.template operator()<C, false>();
  };
  switch (sampling.coordinates) {
    case Coordinates::kPixelOffsets:
      return read_bordered.template operator()<Coordinates::kPixelOffsets>();
    case Coordinates::kCornersAligned:
      return read_bordered.template operator()<Coordinates::kCornersAligned>();
    default:
      return read_bordered.template operator()<Coordinates::kEdgesAligned>();
  }
}

// Output pixels, from this one on, as those of the tile's pixels `at` and following.
template <class P>
void locate(const Sampling& sampling, const Positions<const P>& positions, int64_t row, int64_t column,
            const Extent& extent, int64_t at, Tile<P>& tile) {
  const P* given = positions.data + tile.image * positions.image + row * positions.row + column * positions.column;
  locate(sampling, given, positions.row, positions.column, extent, column, 0, 1, sampling.width, at, tile.x);
  locate(sampling, given + positions.axis, positions.row, positions.column, extent, row, 1, 0, sampling.height, at,
         tile.y);
}

// Calls body(tile) for all pixels of the output rows [begin, end), which are numbered through all images.
template <class P, class Body>
void for_each_tile(const Sampling& sampling, const Positions<const P>& positions, bool rows_follow, int64_t begin,
                   int64_t end, const Body& body) {
  Tile<P> tile;
  const auto through_rows = [&](int64_t first, int64_t rows) {
    tile.rows = 1;
    tile.below = parts(kRunPixels, std::max<int64_t>(1, sampling.out_width));
    for (int64_t start = 0; start < rows * sampling.out_width; start += tile.columns) {
      tile.row = first + start / sampling.out_width;
      tile.column = start % sampling.out_width;
      tile.columns = tile.pitch = std::min(kRunPixels, rows * sampling.out_width - start);
      for (int64_t i = 0, row = tile.row, column = tile.column; i < tile.columns; ++row, column = 0) {
        const int64_t count = std::min(tile.columns - i, sampling.out_width - column);
        locate(sampling, positions, row, column, {1, count, count}, i, tile);
        i += count;
      }
      body(tile);
    }
  };
  const auto in_tiles = [&](int64_t first, int64_t rows) {
    const int64_t most_columns = sampling.channels <= kFewChannels ? kWideTileColumns : kTileColumns;
    tile.below = std::min(kTileRows, rows);
    for (int64_t row = 0; row < rows; row += kTileRows) {
      for (tile.column = 0; tile.column < sampling.out_width; tile.column += most_columns) {
        tile.row = first + row;
        tile.rows = std::min(kTileRows, rows - row);
        tile.columns = std::min(most_columns, sampling.out_width - tile.column);
        tile.pitch = (tile.columns + kLanes<P> - 1) / kLanes<P> * kLanes<P>;
        locate(sampling, positions, tile.row, tile.column, {tile.rows, tile.columns, tile.pitch}, 0, tile);
        body(tile);
      }
    }
  };
  for (int64_t index = begin; index < end;) {
    tile.image = index / sampling.out_height;
    const int64_t first = index % sampling.out_height, rows = std::min(sampling.out_height - first, end - index);
    if (rows_follow && sampling.out_width < kNarrowColumns) {
      through_rows(first, rows);
    } else {
      in_tiles(first, rows);
    }
    index += rows;
  }
}

// The first pixel of a tile in its image.
template <class T, class P>
inline T* first_pixel(const Image<T>& image, const Tile<P>& tile) {
  return image.data + tile.image * image.image + tile.row * image.row + tile.column * image.column;
}

// Gradients by the pixel positions become those by the given ones.
template <class P>
[[gnu::noinline]] void store_gradients(const Sampling& sampling, const Tile<P>& tile, P* by_x, P* by_y,
                                       const Positions<P>& gradients) {
  for (int64_t i = 0; i < tile.rows * tile.pitch; i += kLanes<P>) {
    const Vector<P> zero{}, x = load_wide(tile.x.slope + i), y = load_wide(tile.y.slope + i);
    store(by_x + i, x != 0 ? load_wide(by_x + i) * x : zero);
    store(by_y + i, y != 0 ? load_wide(by_y + i) * y : zero);
  }
  const bool past_caches = is_far<P>(gradients.image);
  for (int64_t r = 0; r < tile.rows; ++r) {
    for (int64_t i = 0, row = tile.row + r, column = tile.column; i < tile.columns; ++row, column = 0) {
      const int64_t count = std::min(tile.columns - i, sampling.out_width - column);
      P* to = gradients.data + tile.image * gradients.image + row * gradients.row + column * gradients.column;
      const P *x = by_x + r * tile.pitch + i, *y = by_y + r * tile.pitch + i;
      if (gradients.column == 1) {
        for (int64_t k = 0; k < count; k += kLanes<P>) {
          store_line(to + k, load_wide(x + k), past_caches, count - k);
          store_line(to + gradients.axis + k, load_wide(y + k), past_caches, count - k);
        }
      } else if (gradients.column == 2 && gradients.axis == 1) {
        for (int64_t k = 0; k < count; k += kLanes<P>) {
          const Vector<P> both[2] = {load_wide(x + k), load_wide(y + k)};
          store_interleaved<2>(to + 2 * k, count - k, both, past_caches);
        }
      } else {
        for (int64_t k = 0; k < count; ++k) {
          to[k * gradients.column] = x[k];
          to[k * gradients.column + gradients.axis] = y[k];
        }
      }
      i += count;
    }
  }
}

// Whether an image's rows of output pixels follow one another without a gap.
template <class T>
bool rows_follow(const Sampling& sampling, const Image<T>& image) {
  return image.row == sampling.out_width * image.column;
}

inline bool is_index(int64_t value, int64_t size) { return static_cast<uint64_t>(value) < static_cast<uint64_t>(size); }

}  // namespace
}  // namespace tryon_kernels
