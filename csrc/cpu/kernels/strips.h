#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/correlation.h"
#include "cpu/kernels/pixels.h"
#include "cpu/kernels/vector.h"

// How a correlation cuts an image: into bands of rows, and these into strips, which are computed one after the other.
// Numbers go down first, for what lies around a strip is mostly around the one below too.
//
//         begin       end
//           |          |
//    y ---- +----------+----------+ --
//           |    0     |    3     |  band: `band_rows` rows
//           +----------+----------+ --
//           |    1     |    4     |
//           +----------+----------+
//           |    2     |    5     |
//           +----------+----------+
namespace tryon_kernels {
namespace {

// The rows in use are to stay in the caches. Narrower strips would fit a smaller second level, but read more than they
// use of each plane's cache lines, which costs more.
constexpr int64_t kStripBytes = 1536 * 1024;
constexpr int64_t kSmallestStrip = 24;  // the radius's columns on both sides are packed with every strip

struct Strips {
  int64_t in_band, width, bands;

  Strips(const CorrelationSizes& sizes, int64_t pixel_bytes) {
    const int64_t fitting = kStripBytes / ((sizes.side() + sizes.band_rows) * pixel_bytes);
    const int64_t most = std::max(fitting - 2 * sizes.radius, kSmallestStrip);
    width = std::max<int64_t>(8, round_up(parts(sizes.width, parts(sizes.width, most)), 8));
    in_band = parts(sizes.width, width);
    bands = parts(sizes.height, sizes.band_rows);
  }

  int64_t count() const { return bands * in_band; }
};

struct Strip {
  int64_t image, y, rows, begin, end;

  Strip(const CorrelationSizes& sizes, const Strips& strips, int64_t index)
      : image(index / strips.count()),
        y(index % strips.bands * sizes.band_rows),
        rows(std::min(sizes.band_rows, sizes.height - y)),
        begin(index / strips.bands % strips.in_band * strips.width),
        end(std::min(begin + strips.width, sizes.width)) {}

  int64_t width() const { return end - begin; }

  // The same in an image that starts with its first pixel.
  Strip at_start() const {
    Strip strip = *this;
    strip.image = strip.y = strip.begin = 0;
    strip.end = width();
    return strip;
  }
};

// An image from one of its pixels on.
template <class T>
Image<T> starting_at(Image<T> image, int64_t n, int64_t y, int64_t x) {
  image.data = pixels_of(image, n, 0, y, x).data;
  return image;
}

// The columns [begin, end) of the rows [first, last), as an image that starts with the first of these pixels.
template <class T>
Image<const T> rows_of(const RowSource<T>& source, int64_t n, int64_t first, int64_t last, int64_t begin, int64_t end) {
  return source.make ? source.make(source.maker, n, first, last, begin, end)
                     : starting_at(source.image, n, first, begin);
}

}  // namespace
}  // namespace tryon_kernels
