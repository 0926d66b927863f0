#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/amx.h"
#include "cpu/kernels/fetch_ahead.h"
#include "cpu/kernels/lanes.h"
#include "cpu/kernels/packed_rows.h"
#include "cpu/kernels/pixels.h"

// The volume of bfloat16 features on AMX. For each row in reach of a patch of pixels, the left factor has the
// neighbours and the right factor the pixels:
//
//                        channels                    16 pixels
//                 +---------------------+           +---------+
//    16 columns   | neighbours of a row |  channels |  patch  |
//    of neighbours|                     |         x |         |
//
// Of the 16 neighbours in a row each pixel keeps 2 radius + 1. Patches of 2 x 8 pixels have 2 radius + 2 rows in reach,
// of one matrix each up to a radius of 4. The left factor's rows are whole cache lines wherever a patch begins: a
// matrix whose rows cross lines takes seven times as long to load.
namespace tryon_kernels {
namespace {

// The pixels that are multiplied at once: a wide patch has few neighbours in reach, and narrow maps have room for it.
// Its matrix has the pixels of a row one after the other.
constexpr int64_t kPatchRows = 2, kPatchColumns = kMatrixRows / kPatchRows;

// Sizes for one call.
struct MatrixPacking {
  Strips strips;
  int64_t columns;  // of a strip, for whole patches
  int64_t pairs;    // of channels, for whole matrices
  int64_t blocks;   // matrices of neighbours in reach of a patch, of each row
  Packed<BFloat16> around;

  explicit MatrixPacking(const CorrelationSizes& sizes)
      : strips(sizes, odd_lines<float>(sizes.channels) * static_cast<int64_t>(sizeof(float))),
        columns(round_up(std::min(strips.width, sizes.width), kPatchColumns)),
        pairs(round_up(std::max<int64_t>(1, sizes.channels), kMatrixDepth) / 2),
        blocks(parts(kPatchColumns + 2 * sizes.radius, kMatrixRows)),
        around{sizes.channels, odd_lines<BFloat16>(sizes.channels), columns - kPatchColumns + blocks * kMatrixRows} {}

  int64_t patch() const { return pairs * kMatrixColumns; }
  int64_t patches() const { return columns / kPatchColumns; }  // in two rows
};

// Patches of pixels as right factors: for each pair of channels, those of all pixels side by side.
inline void pack_patches(const Image<const BFloat16>& from, int64_t channels, const Strip& strip, int64_t patch_size,
                         int64_t patches, Pair* to) {
  const auto at = [&](int64_t c, int64_t y, int64_t x) { return pixels_of(from, 0, c, y, x).data; };
  const int64_t whole = channels / 2;
  const auto for_each_patch = [&](const auto& body) {
    for (int64_t i = 0; i < strip.rows; i += kPatchRows)
      for (int64_t x = 0; x < strip.width(); x += kPatchColumns)
        body(i, std::min(kPatchRows, strip.rows - i), x, std::min(kPatchColumns, strip.width() - x),
             to + (i / kPatchRows * patches + x / kPatchColumns) * patch_size);
  };
  if (from.channel == 1 && whole >= kFloats) {
    for_each_patch([&](int64_t i, int64_t rows, int64_t x, int64_t columns, Pair* patch) {
      for (int64_t next = 0; next < whole; next += kFloats) {
        const int64_t pair = std::min(next, whole - kFloats);
        Vector<float> square[kFloats] = {};
#pragma GCC unroll 16
        for (int64_t p = 0; p < kMatrixColumns; ++p)
          if (p / kPatchColumns < rows && p % kPatchColumns < columns)
            square[p] = load<Vector<float>>(at(2 * pair, i + p / kPatchColumns, x + p % kPatchColumns));
        transpose<float>(square);
#pragma GCC unroll 16
        for (int64_t k = 0; k < kFloats; ++k) store(patch + (pair + k) * kMatrixColumns, square[k]);
      }
    });
  } else if (from.column == 1) {
    for (int64_t pair = 0; pair < whole; ++pair) {
      for_each_patch([&](int64_t i, int64_t rows, int64_t x, int64_t columns, Pair* patch) {
        const __mmask16 mask = lanes_below(columns);
        for (int64_t row = 0; row < rows; ++row) {
          const Words both = paired(at(2 * pair, i + row, x), mask, at(2 * pair + 1, i + row, x), mask);
          _mm512_mask_storeu_epi32(patch + pair * kMatrixColumns + row * kPatchColumns, 0xff, (__m512i)both);
        }
      });
    }
  } else {
    for_each_patch([&](int64_t i, int64_t rows, int64_t x, int64_t columns, Pair* patch) {
      for (int64_t pair = 0; pair < whole; ++pair)
        for (int64_t row = 0; row < rows; ++row)
          for (int64_t p = 0; p < columns; ++p)
            patch[pair * kMatrixColumns + row * kPatchColumns + p] =
                Pair{at(2 * pair, i + row, x + p)->bits} | Pair{at(2 * pair + 1, i + row, x + p)->bits} << 16;
    });
  }
  if (channels % 2 == 0) return;
  for_each_patch([&](int64_t i, int64_t rows, int64_t x, int64_t columns, Pair* patch) {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t p = 0; p < columns; ++p)
        patch[whole * kMatrixColumns + row * kPatchColumns + p] = at(channels - 1, i + row, x + p)->bits;
  });
}

class MatrixForward {
 public:
  MatrixForward(const CorrelationSizes& sizes, Workspace& workspace)
      : sizes_(sizes),
        packing_(sizes),
        around_(workspace.take<BFloat16>(Around::size(sizes, sizes.radius, packing_.around))),
        patches_(workspace.take<Pair>(patches_size())),
        volume_(workspace.take<BFloat16>(sizes.side() * sizes.side() * plane())),
        sums_(workspace.take<float>((sizes.side() + kPatchRows - 1) * row_of_sums())) {}

  void run(const RowSource<BFloat16>& first, const Image<const BFloat16>& second,
           const Activation<BFloat16>& activation, const Image<BFloat16>& output, int64_t begin, int64_t end) {
    Around around(sizes_, sizes_.radius, packing_.around, {second}, around_);
    std::fill_n(patches_, patches_size(), Pair{0});
    for (int64_t index = begin; index < end; ++index) {
      const Strip strip(sizes_, packing_.strips, index);
      around.move_to(strip, [](auto&&...) {});
      pack_patches(rows_of(first, strip.image, strip.y, strip.y + strip.rows, strip.begin, strip.end), sizes_.channels,
                   strip, packing_.patch(), packing_.patches(), patches_);
      Ahead ahead;
      ahead.add(second, sizes_.channels, sizes_, strip, strip.rows + sizes_.radius);
      if (first.make == nullptr) ahead.add(first.image, sizes_.channels, sizes_, strip, strip.rows);
      ahead.divide_by(parts(strip.rows, kPatchRows) * parts(strip.width(), kPatchColumns) * sizes_.side());
      for (int64_t i = 0; i < strip.rows; i += kPatchRows) {
        for (int64_t x = 0; x < strip.width(); x += kPatchColumns) {
          const int64_t rows = std::min(kPatchRows, strip.rows - i);
          multiply(around, strip.y + i, x, rows,
                   patches_ + (i / kPatchRows * packing_.patches() + x / kPatchColumns) * packing_.patch());
          finish(activation, rows, volume_ + i * packing_.columns + x, ahead);
        }
      }
      unpack(strip, output);
    }
  }

 private:
  using Around = RowsAround<BFloat16, BFloat16>;

  int64_t patches_size() const { return parts(sizes_.band_rows, kPatchRows) * packing_.patches() * packing_.patch(); }
  int64_t plane() const { return sizes_.band_rows * packing_.columns; }
  int64_t row_of_sums() const { return packing_.blocks * kMatrixRows * kMatrixColumns; }

  void multiply(const Around& around, int64_t y, int64_t x, int64_t rows, const Pair* patch) {
    constexpr int64_t kNumber = sizeof(BFloat16);
    sum_products<Common::kRight>((sizes_.side() + rows - 1) * packing_.blocks, packing_.pairs / kMatrixPairs,
                                 {kMatrixBytes, packing_.around.pitch * kNumber, kMatrixBytes},
                                 [&](int64_t step) { return patch + step * kMatrixPairs * kMatrixColumns; },
                                 [&](int64_t product, int64_t step) {
                                   const int64_t row = product / packing_.blocks, block = product % packing_.blocks;
                                   return around.row(y + row - sizes_.radius) +
                                          (x + block * kMatrixRows) * packing_.around.pitch + step * kMatrixDepth;
                                 },
                                 [&](int64_t product) { return sums_ + product * kMatrixRows * kMatrixColumns; });
  }

  // Pixel p of a row has its neighbours from column p on.
  void finish(const Activation<BFloat16>& activation, int64_t rows, BFloat16* volume, Ahead& ahead) const {
    const float scale = 1.0f / static_cast<float>(sizes_.divisor);
    const int64_t side = sizes_.side();
    for (int64_t row = 0; row < side + rows - 1; ++row) {
      ahead.fetch();
      for (int64_t dx = 0; dx < side; ++dx) {
        const float* const sums = sums_ + row * row_of_sums() + dx * kMatrixColumns;
        __m512 sum = _mm512_loadu_ps(sums);
#pragma GCC unroll 8
        for (int p = 1; p < kPatchColumns; ++p)
          sum = _mm512_mask_loadu_ps(sum, static_cast<__mmask16>(0x101 << p), sums + p * kMatrixColumns);
        const Vector<float> value = (Vector<float>)sum * scale;
        const auto halves = (__m256i)rounded(value > 0 ? value : value * activation.negative_slope);
        BFloat16* const to = volume + (row * side + dx) * plane();
        if (row < side) store(to, _mm256_castsi256_si128(halves));
        if (row > 0 && rows > 1) store(to - side * plane() + packing_.columns, _mm256_extracti128_si256(halves, 1));
      }
    }
  }

  void unpack(const Strip& strip, const Image<BFloat16>& output) const {
    for_each_channel_block<BFloat16>(output, sizes_.side() * sizes_.side(), [&](int64_t k, int64_t count) {
      for (int64_t i = 0; i < strip.rows; ++i)
        copy_pixels(Pixels<const BFloat16>{volume_ + k * plane() + i * packing_.columns, plane(), 1},
                    pixels_of(output, strip.image, k, strip.y + i, strip.begin), count, strip.width());
    });
  }

  const CorrelationSizes& sizes_;
  const MatrixPacking packing_;
  BFloat16* const around_;
  Pair* const patches_;
  BFloat16* const volume_;
  float* const sums_;
};

inline int64_t matrix_forward_workspace(const CorrelationSizes& sizes) {
  Workspace workspace(nullptr);
  MatrixForward(sizes, workspace);
  return workspace.taken();
}

inline void matrix_forward(const CorrelationSizes& sizes, const RowSource<BFloat16>& first,
                           Image<const BFloat16> second, const Activation<BFloat16>& activation, Image<BFloat16> output,
                           void* memory, int64_t begin, int64_t end) {
  const Matrices matrices;
  Workspace workspace(memory);
  MatrixForward(sizes, workspace).run(first, second, activation, output, begin, end);
}

}  // namespace
}  // namespace tryon_kernels
