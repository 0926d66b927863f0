#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "cpu/kernels/correlation.h"
#include "cpu/kernels/pixels.h"
#include "cpu/kernels/vector.h"

// The volume: lanes are neighbouring pixels of a row, so no sum goes across lanes. A row of the second map is
// multiplied with all rows of the first that have it in their window, so that one read of it serves them all.
namespace tryon_kernels {
namespace {

// What is in registers at once: so many rows of the first map, and so many horizontal displacements of the second.
constexpr int kBlockRows = kRegisters == 32 ? 7 : 3;
constexpr int kBlockDisplacements = kRegisters == 32 ? 3 : 4;

// A band of rows is worked through in strips of columns, and a few channels at a time, so that those of the rows in a
// window stay in the first-level cache, and the band and its sums in the second.
constexpr int64_t kBandRows = 16;
constexpr int64_t kBandChannels = 32;
constexpr int64_t kStripColumns = 128;
constexpr int64_t kSumsBytes = 320 * 1024;

// Sizes for one call, in numbers of the wide format.
template <class P>
struct Bands {
  int64_t rows, columns, strips;  // of a band; a strip's columns in whole vectors
  int64_t pitch;                  // from channel to channel
  int64_t first, second, sums;    // all of a band

  explicit Bands(const Window& window) {
    const int64_t side = window.side(), volume = side * side;
    strips = std::max<int64_t>(1, parts(window.width, kStripColumns));
    columns = round_up(parts(window.width, strips), kLanes<P>);
    const int64_t fitting = kSumsBytes / (volume * std::max<int64_t>(1, columns) * static_cast<int64_t>(sizeof(P)));
    rows = std::clamp<int64_t>(fitting, 4, kBandRows);
    pitch = odd_lines<P>(columns + 2 * window.radius + kLanes<P>);
    first = rows * kBandChannels * pitch;
    second = (rows + 2 * window.radius) * kBandChannels * pitch;
    sums = rows * volume * columns;
  }
};

// Adds a block's products to its sums: those of `Rows` rows of the first map and one of the second, moved by
// `Displacements` columns, for one vector of pixels.
template <int Rows, int Displacements, class P>
void multiply_block(const P* first, int64_t row, const P* second, int64_t pitch, int64_t channels, P* sums,
                    int64_t sums_row, int64_t sums_step) {
  Vector<P> sum[Rows][Displacements] = {};
  for (int64_t c = 0; c < channels; ++c) {
    Vector<P> moved[Displacements];
#pragma GCC unroll 8
    for (int d = 0; d < Displacements; ++d) moved[d] = kept(load_wide(second + c * pitch + d));
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const Vector<P> pixels = kept(load(first + r * row + c * pitch));
#pragma GCC unroll 8
      for (int d = 0; d < Displacements; ++d) sum[r][d] += pixels * moved[d];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int d = 0; d < Displacements; ++d) {
      P* const to = sums + r * sums_row + d * sums_step;
      store(to, load(to) + sum[r][d]);
    }
  }
}

template <class P>
using MultiplyBlock = decltype(&multiply_block<1, 1, P>);

// For numbers of rows and displacements known at run time only, from 1 on.
template <class P, int... Index>
constexpr std::array<MultiplyBlock<P>, sizeof...(Index)> multiply_blocks(std::integer_sequence<int, Index...>) {
  return {multiply_block<Index / kBlockDisplacements + 1, Index % kBlockDisplacements + 1, P>...};
}

template <class P>
constexpr auto kMultiplyBlocks =
    multiply_blocks<P>(std::make_integer_sequence<int, kBlockRows * kBlockDisplacements>());

template <class T>
class BandForward {
  using P = Wide<T>;

 public:
  BandForward(const Window& window, void* workspace)
      : window_(window),
        bands_(window),
        first_(static_cast<P*>(workspace)),
        second_(first_ + bands_.first),
        sums_(second_ + bands_.second) {
    std::fill(first_, sums_, P{0});  // what is packed never reaches the padding
  }

  // Rows [y, y + rows) of image n.
  void run(const Image<const T>& first, const Image<const T>& second, const Activation<T>& activation,
           const Image<T>& output, int64_t n, int64_t y, int64_t rows) {
    for (int64_t x = 0; x < window_.width; x += bands_.columns) {
      const int64_t columns = std::min(bands_.columns, window_.width - x);
      std::fill_n(sums_, bands_.sums, P{0});
      for (int64_t c = 0; c < window_.channels; c += kBandChannels) {
        const int64_t channels = std::min(kBandChannels, window_.channels - c);
        pack_first(first, n, y, x, c, rows, columns, channels);
        pack_second(second, n, y, x, c, rows, columns, channels);
        multiply(rows, columns, channels);
      }
      finish(activation, output, n, y, x, rows, columns);
    }
  }

 private:
  void pack_first(const Image<const T>& image, int64_t n, int64_t y, int64_t x, int64_t c, int64_t rows,
                  int64_t columns, int64_t channels) {
    for (int64_t i = 0; i < rows; ++i) {
      auto from = pixels_of(image, n, y + i, x);
      from.data += c * image.channel;
      copy_pixels(from, Pixels<P>{first_ + i * kBandChannels * bands_.pitch, bands_.pitch, 1}, channels, columns);
    }
  }

  // With `radius` columns on either side; zeros outside.
  void pack_second(const Image<const T>& image, int64_t n, int64_t y, int64_t x, int64_t c, int64_t rows,
                   int64_t columns, int64_t channels) {
    const int64_t begin = std::max<int64_t>(0, x - window_.radius);
    const int64_t end = std::min(window_.width, x + columns + window_.radius);
    const int64_t before = begin - (x - window_.radius);
    for (int64_t i = 0; i < rows + 2 * window_.radius; ++i) {
      P* const to = second_ + i * kBandChannels * bands_.pitch;
      const int64_t row = y + i - window_.radius;
      if (row < 0 || row >= window_.height) {
        std::fill_n(to, channels * bands_.pitch, P{0});
        continue;
      }
      auto from = pixels_of(image, n, row, begin);
      from.data += c * image.channel;
      if (bands_.strips > 1) std::fill_n(to, channels * bands_.pitch, P{0});
      copy_pixels(from, Pixels<P>{to + before, bands_.pitch, 1}, channels, end - begin);
    }
  }

  void multiply(int64_t rows, int64_t columns, int64_t channels) {
    const int64_t side = window_.side(), pitch = bands_.pitch, row = kBandChannels * pitch;
    for (int64_t x = 0; x < columns; x += kLanes<P>) {
      for (int64_t j = 0; j < rows + side - 1; ++j) {  // rows of the second map
        const int64_t last = std::min(rows, j + 1);
        for (int64_t i = std::max<int64_t>(0, j - side + 1); i < last;) {
          const int64_t left = last - i, block = parts(left, parts(left, kBlockRows));
          for (int64_t dx = 0; dx < side;) {
            const int64_t moves = parts(side - dx, parts(side - dx, kBlockDisplacements));
            kMultiplyBlocks<P>[(block - 1) * kBlockDisplacements + moves - 1](
                first_ + i* row + x, row, second_ + j* row + x + dx, pitch, channels,
                sums_ + ((i* side + j - i)* side + dx)* bands_.columns + x, (side - 1)* side* bands_.columns,
                bands_.columns);
            dx += moves;
          }
          i += block;
        }
      }
    }
  }

  void finish(const Activation<T>& activation, const Image<T>& output, int64_t n, int64_t y, int64_t x, int64_t rows,
              int64_t columns) {
    const int64_t volume = window_.side() * window_.side();
    const P scale = P{1} / static_cast<P>(std::max<int64_t>(window_.channels, 1)), slope = activation.negative_slope;
    for (int64_t i = 0; i < rows; ++i) {
      P* const sums = sums_ + i * volume * bands_.columns;
      for (int64_t k = 0; k < volume * bands_.columns; ++k) {
        const P mean = sums[k] * scale;
        sums[k] = mean > 0 ? mean : mean * slope;
      }
      copy_pixels(Pixels<const P>{sums, bands_.columns, 1}, pixels_of(output, n, y + i, x), volume, columns);
    }
  }

  const Window window_;
  const Bands<P> bands_;
  P *const first_, *const second_, *const sums_;
};

// Rows [begin, end), numbered through all images.
template <class T>
void correlation_forward(const Window& window, Image<const T> first, Image<const T> second,
                         const Activation<T>& activation, Image<T> output, void* workspace, int64_t begin,
                         int64_t end) {
  BandForward<T> band(window, workspace);
  const int64_t most = Bands<Wide<T>>(window).rows;
  for (int64_t row = begin; row < end;) {
    const int64_t y = row % window.height, count = std::min({most, window.height - y, end - row});
    band.run(first, second, activation, output, row / window.height, y, count);
    row += count;
  }
}

}  // namespace
}  // namespace tryon_kernels
