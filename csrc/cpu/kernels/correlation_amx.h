#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/kernels/correlation_rows.h"
#include "cpu/kernels/lanes.h"
#include "cpu/kernels/matrices.h"
#include "cpu/kernels/pixels.h"

// The volume of bfloat16 features on AMX, whose registers are matrices. One instruction multiplies 16 pixels with 16
// neighbours over 32 channels. Of the 16 + 2 radius neighbours in reach of 16 pixels each pixel keeps 2 radius + 1, so
// most products are for nothing; they are still several times quicker than vectors.
namespace tryon_kernels {
namespace {

// Channels in pairs, those of neighbouring pixels side by side.
inline void pack_pairs(const Pixels<const BFloat16>& from, int64_t channels, int64_t columns, Pair* to, int64_t step) {
  const int64_t whole = channels / 2;
  if (from.channel == 1 && from.column % 2 == 0 && std::min(whole, columns) >= kLanes<float>) {
    transpose_rows(reinterpret_cast<const float*>(from.data), from.column / 2, reinterpret_cast<float*>(to), step,
                   columns, whole);
  } else {
    for (int64_t pair = 0; pair < whole; ++pair) {
      const BFloat16* low = from.data + 2 * pair * from.channel;
      for (int64_t x = 0; x < columns; ++x)
        to[pair * step + x] = Pair{low[x * from.column].bits} | Pair{low[x * from.column + from.channel].bits} << 16;
    }
  }
  if (channels % 2 == 0) return;
  for (int64_t x = 0; x < columns; ++x)
    to[whole * step + x] = from.data[(channels - 1) * from.channel + x * from.column].bits;
}

// Sizes for one call.
struct MatrixLayout {
  Bands bands;
  int64_t pairs;          // of channels, for whole matrices
  int64_t blocks;         // matrices of neighbours in reach of one of pixels
  int64_t columns, step;  // of a strip, for whole matrices; from pair to pair
  int64_t products;       // matrices of sums for 16 pixels
  Packed<float> volume;

  explicit MatrixLayout(const Window& window)
      : bands(window, odd_lines<float>(window.channels) * static_cast<int64_t>(sizeof(float))),
        pairs(round_up(std::max<int64_t>(1, window.channels), kMatrixDepth) / 2),
        blocks(1 + parts(2 * window.radius, kMatrixRows)),
        columns(round_up(std::min(bands.width, window.width), kMatrixRows)),
        step(odd_lines<float>(columns + (blocks - 1) * kMatrixRows)),
        products(window.side() * blocks),
        volume{window.side() * window.side(), odd_lines<float>(window.side() * window.side() + kLanes<float>),
               columns} {}

  int64_t row() const { return pairs * step; }
};

// The rows around a piece, as pairs, with zeros outside.
class PairsAround {
 public:
  PairsAround(const Window& window, const MatrixLayout& layout, Image<const BFloat16> from, Pair* memory)
      : ring_(window, window.radius), window_(window), layout_(layout), from_(from), memory_(memory) {}

  static int64_t size(const Window& window, const MatrixLayout& layout) {
    return Ring::slots(window, window.radius) * layout.row();
  }

  void move_to(const Piece& piece) {
    // Within a strip, what is packed covers the same part of each row.
    if (!ring_.goes_on(piece)) std::fill_n(memory_, size(window_, layout_), Pair{0});
    const int64_t left = piece.begin - window_.radius, begin = std::max<int64_t>(left, 0);
    const int64_t end = std::min(piece.end + window_.radius, window_.width);
    ring_.move_to(
        piece, [&](int64_t y) { std::fill_n(slot(y), layout_.row(), Pair{0}); },
        [&](int64_t first, int64_t last) {
          for (int64_t y = first; y < last; ++y)
            pack_pairs(pixels_of(from_, piece.image, 0, y, begin), window_.channels, end - begin,
                       slot(y) + begin - left, layout_.step);
        });
  }

  // First column holds the strip's first x - radius.
  const Pair* row(int64_t y) const { return slot(y); }

 private:
  Pair* slot(int64_t y) const { return memory_ + ring_.slot(y) * layout_.row(); }

  Ring ring_;
  const Window& window_;
  const MatrixLayout& layout_;
  const Image<const BFloat16> from_;
  Pair* const memory_;
};

class MatrixForward {
 public:
  MatrixForward(const Window& window, Workspace& workspace)
      : window_(window),
        layout_(window),
        around_(workspace.take<Pair>(PairsAround::size(window, layout_))),
        row_(workspace.take<Pair>(layout_.row())),
        pixels_(workspace.take<Pair>(layout_.columns * layout_.pairs)),
        volume_(workspace.take<float>(window.band_rows * layout_.volume.row())),
        // A pixel's sums are read a vector at a time, beyond the last.
        sums_(workspace.take<float>(layout_.products * kMatrixRows * kMatrixColumns + kLanes<float>)),
        neighbours_(workspace.take<const Pair*>(layout_.products)),
        block_sums_(workspace.take<float*>(layout_.products)) {}

  void run(const RowSource<BFloat16>& first, const Image<const BFloat16>& second,
           const Activation<BFloat16>& activation, const Image<BFloat16>& output, int64_t begin, int64_t end) {
    PairsAround around(window_, layout_, second, around_);
    std::fill_n(row_, layout_.row(), Pair{0});
    for (int64_t index = begin; index < end; ++index) {
      const Piece piece(window_, layout_.bands, index);
      around.move_to(piece);
      const auto rows = rows_of(first, piece.image, piece.y, piece.y + piece.rows, piece.begin, piece.end);
      for (int64_t i = 0; i < piece.rows; ++i) {
        const auto from = pixels_of(rows, 0, 0, i, 0);
        const void* pixels = from.data;
        int64_t pixel_bytes = from.column * static_cast<int64_t>(sizeof(BFloat16));
        if (from.channel != 1 || window_.channels % kMatrixDepth != 0 || piece.width() < kMatrixRows) {
          pack_pairs(from, window_.channels, piece.width(), row_, layout_.step);
          transpose_rows(reinterpret_cast<const float*>(row_), layout_.step, reinterpret_cast<float*>(pixels_),
                         layout_.pairs, layout_.pairs, layout_.columns);
          pixels = pixels_;
          pixel_bytes = layout_.pairs * static_cast<int64_t>(sizeof(Pair));
        }
        for (int64_t start = 0; start < piece.width(); start += kMatrixRows) {
          const int64_t x = std::max<int64_t>(0, std::min(start, piece.width() - kMatrixRows));
          multiply(static_cast<const char*>(pixels) + x * pixel_bytes, pixel_bytes, around, piece.y + i, x);
          finish(activation, volume_ + i * layout_.volume.row() + x * layout_.volume.pitch);
        }
      }
      layout_.volume.unpack(volume_, piece, output);
    }
  }

 private:
  void multiply(const void* pixels, int64_t pixel_bytes, const PairsAround& around, int64_t y, int64_t x) {
    for (int64_t product = 0; product < layout_.products; ++product) {
      const int64_t dy = product / layout_.blocks, block = product % layout_.blocks;
      neighbours_[product] = around.row(y + dy - window_.radius) + x + block * kMatrixRows;
      block_sums_[product] = sums_ + dy * kMatrixRows * sums_row() + block * kMatrixColumns;
    }
    constexpr int64_t kPair = sizeof(Pair), kSum = sizeof(float);
    sum_products(
        layout_.products, layout_.pairs / kMatrixPairs, {pixel_bytes, layout_.step * kPair, sums_row() * kSum},
        [&](int64_t step) { return static_cast<const Pair*>(pixels) + step * kMatrixPairs; },
        [&](int64_t product, int64_t step) { return neighbours_[product] + step * kMatrixPairs * layout_.step; },
        [&](int64_t product) { return block_sums_[product]; });
  }

  // Pixel p's neighbours begin at column p.
  void finish(const Activation<BFloat16>& activation, float* volume) const {
    const float scale = 1.0f / static_cast<float>(window_.divisor);
    const int64_t side = window_.side();
    for (int64_t p = 0; p < kMatrixRows; ++p) {
      for (int64_t dy = 0; dy < side; ++dy) {
        const float* sums = sums_ + (dy * kMatrixRows + p) * sums_row() + p;
        float* const to = volume + p * layout_.volume.pitch + dy * side;
        // Whole vectors: what is too much is overwritten.
        for (int64_t dx = 0; dx < side; dx += kLanes<float>) {
          const Vector<float> value = load_wide(sums + dx) * scale;
          store_lanes(to + dx, value > 0 ? value : value * activation.negative_slope);
        }
      }
    }
  }

  int64_t sums_row() const { return layout_.blocks * kMatrixRows; }

  const Window& window_;
  const MatrixLayout layout_;
  Pair *const around_, *const row_, *const pixels_;
  float *const volume_, *const sums_;
  const Pair** const neighbours_;
  float** const block_sums_;
};

inline CorrelationPlan matrix_plan(const Window& window, const CorrelationPlan& vectors) {
  Workspace workspace(nullptr);
  MatrixForward(window, workspace);
  return {vectors.pieces, std::max(vectors.workspace, workspace.taken())};
}

inline void matrix_forward(const Window& window, const RowSource<BFloat16>& first, Image<const BFloat16> second,
                           const Activation<BFloat16>& activation, Image<BFloat16> output, void* memory, int64_t begin,
                           int64_t end) {
  const Matrices matrices;
  Workspace workspace(memory);
  MatrixForward(window, workspace).run(first, second, activation, output, begin, end);
}

}  // namespace
}  // namespace tryon_kernels
