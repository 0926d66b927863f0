#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/packed_rows.h"
#include "cpu/kernels/pixels.h"

// The volume of bfloat16 features on AMX, whose registers are matrices. One instruction multiplies 16 pixels with 16
// neighbours over 32 channels. Of the 16 + 2 radius neighbours in reach of 16 pixels each pixel keeps 2 radius + 1, so
// most products are for nothing; they are still several times quicker than vectors.
namespace tryon_kernels {
namespace {

// Matrices: 16 x 32 numbers times 32 x 16, for 16 x 16 sums in float32.
constexpr int64_t kMatrixRows = 16, kMatrixColumns = 16;  // of the sums
constexpr int64_t kMatrixDepth = 32;                      // products in a sum, for each pair of matrices
constexpr int64_t kMatrixBytes = 64;                      // of a row

// A row of the right factor holds two of its rows, so that the numbers of one sum are side by side: the first of a pair
// is in the lower half.
using Pair = uint32_t;
constexpr int64_t kMatrixPairs = kMatrixDepth / 2;

// What the eight registers hold. Right factors take turns, so that a load need not wait for a product.
constexpr int kMatrixSums = 4, kLeft = 4, kRight = 5, kRights = 3;

// AMX is configured in each thread, and given back, so that the system need not keep its registers.
class Matrices {
 public:
  Matrices() {
    struct alignas(kMatrixBytes) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    for (int i = 0; i < 8; ++i) shape.row_bytes[i] = kMatrixBytes, shape.rows[i] = kMatrixRows;
    asm volatile("ldtilecfg %0" : : "m"(shape));
  }
  ~Matrices() { asm volatile("tilerelease"); }
  Matrices(const Matrices&) = delete;
};

template <int Matrix>
inline void clear_matrix() {
  asm volatile("tilezero %%tmm%c0" : : "i"(Matrix));
}

template <int Matrix>
inline void load_matrix(const void* from, int64_t row_bytes) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(Matrix), "r"(from), "r"(row_bytes) : "memory");
}

template <int Matrix>
inline void store_matrix(void* to, int64_t row_bytes) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(Matrix), "r"(to), "r"(row_bytes) : "memory");
}

template <int Sum, int Right>
inline void multiply_matrices() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(kLeft), "i"(Right));
}

// A matrix in memory is where it starts; its rows lie so many bytes apart.
struct RowBytes {
  int64_t left, right, sums;
};

// Sums over `steps` pairs of matrices left(step), right(sum, step), for `Count` sums, to sums(sum).
template <int Count, class Left, class Right, class Sums>
void sum_products(int64_t steps, const RowBytes& bytes, const Left& left, const Right& right, const Sums& sums) {
  const auto each = [](const auto& body) {
    [&]<int... Sum>(std::integer_sequence<int, Sum...>) {
      (body(std::integral_constant<int, Sum>()), ...);
    }(std::make_integer_sequence<int, Count>());
  };
  each([](auto sum) { clear_matrix<sum>(); });
  for (int64_t step = 0; step < steps; ++step) {
    load_matrix<kLeft>(left(step), bytes.left);
    each([&](auto sum) {
      constexpr int kMatrix = kRight + sum % kRights;
      load_matrix<kMatrix>(right(sum, step), bytes.right);
      multiply_matrices<sum, kMatrix>();
    });
  }
  each([&](auto sum) { store_matrix<sum>(sums(sum), bytes.sums); });
}

// For any number of sums, as many at a time as the registers hold.
template <class Left, class Right, class Sums>
void sum_products(int64_t count, int64_t steps, const RowBytes& bytes, const Left& left, const Right& right,
                  const Sums& sums) {
  for (int64_t first = 0; first < count; first += kMatrixSums) {
    const auto some = [&]<int Count>() {
      sum_products<Count>(
          steps, bytes, left, [&](int64_t sum, int64_t step) { return right(first + sum, step); },
          [&](int64_t sum) { return sums(first + sum); });
    };
    switch (std::min<int64_t>(kMatrixSums, count - first)) {
      case 1:
        some.template operator()<1>();
        break;
      case 2:
        some.template operator()<2>();
        break;
      case 3:
        some.template operator()<3>();
        break;
      default:
        some.template operator()<kMatrixSums>();
    }
  }
}

// Channels in pairs, those of neighbouring pixels side by side: whole vectors, which may overlap those before, or are
// filled with zeros where there are fewer pixels than one holds.
inline void pair_planes(const BFloat16* low, const BFloat16* high, int64_t columns, Pair* to) {
  for (int64_t start = 0; start < columns; start += kFloats) {
    const int64_t x = std::max<int64_t>(0, std::min(start, columns - kFloats));
    const auto bits = [&](const BFloat16* from) { return (Words)load_wide(from + x, columns); };
    store(to + x, bits(high) | (Words)((Lanes<uint32_t, kFloats>)bits(low) >> 16));
  }
}

inline void pair_channels(const BFloat16* from, int64_t pixel_step, int64_t pairs, int64_t columns, Pair* to,
                          int64_t step) {
  for (int64_t start = 0; start < columns; start += kFloats) {
    const int64_t x = std::max<int64_t>(0, std::min(start, columns - kFloats));
    for (int64_t next = 0; next < pairs; next += kFloats) {
      const int64_t pair = std::min(next, pairs - kFloats);
      Vector<float> square[kFloats] = {};
#pragma GCC unroll 16
      for (int64_t i = 0; i < kFloats; ++i)
        if (x + i < columns) square[i] = load<Vector<float>>(from + (x + i) * pixel_step + 2 * pair);
      transpose<float>(square);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kFloats; ++i) store(to + (pair + i) * step + x, square[i]);
    }
  }
}

// A row of the image to each `to(row)`, beyond which a vector may be filled up.
template <class Rows>
void pack_pairs(const Image<const BFloat16>& from, int64_t channels, int64_t rows, int64_t columns, int64_t step,
                const Rows& to) {
  const int64_t whole = channels / 2;
  if (from.channel == 1 && whole >= kFloats) {
    for (int64_t y = 0; y < rows; ++y) pair_channels(from.data + y * from.row, from.column, whole, columns, to(y), step);
  } else {
    for (int64_t pair = 0; pair < whole; ++pair) {
      for (int64_t y = 0; y < rows; ++y) {
        const auto low = pixels_of(from, 0, 2 * pair, y, 0), high = pixels_of(from, 0, 2 * pair + 1, y, 0);
        Pair* const pairs = to(y) + pair * step;
        if (from.column == 1) {
          pair_planes(low.data, high.data, columns, pairs);
        } else {
          for (int64_t x = 0; x < columns; ++x)
            pairs[x] = Pair{low.data[x * low.column].bits} | Pair{high.data[x * high.column].bits} << 16;
        }
      }
    }
  }
  if (channels % 2 == 0) return;
  for (int64_t y = 0; y < rows; ++y) {
    const auto last = pixels_of(from, 0, channels - 1, y, 0);
    for (int64_t x = 0; x < columns; ++x) to(y)[whole * step + x] = last.data[x * last.column].bits;
  }
}

// The pixels that are multiplied at once: a wide patch has few neighbours in reach, and narrow maps have room for it.
// Its matrix has the pixels of a column one after the other.
constexpr int64_t kPatchRows = 2, kPatchColumns = kMatrixRows / kPatchRows;

// Sizes for one call.
struct MatrixPacking {
  Strips strips;
  int64_t pairs;          // of channels, for whole matrices
  int64_t blocks;         // matrices of neighbours in reach of a patch, of each row
  int64_t columns, step;  // of a strip, for whole patches; from pair to pair
  Packed<BFloat16> pixels, volume;

  explicit MatrixPacking(const CorrelationSizes& sizes)
      : strips(sizes, odd_lines<float>(sizes.channels) * static_cast<int64_t>(sizeof(float))),
        pairs(round_up(std::max<int64_t>(1, sizes.channels), kMatrixDepth) / 2),
        blocks(parts(kPatchColumns + 2 * sizes.radius, kMatrixColumns)),
        columns(round_up(std::min(strips.width, sizes.width), kPatchColumns)),
        step(odd_lines<float>(columns + blocks * kMatrixColumns)),
        pixels{sizes.channels, 2 * pairs, kPatchRows * columns},
        // A pixel's numbers are stored a vector at a time, beyond the last.
        volume{sizes.side() * sizes.side(), odd_lines<BFloat16>(sizes.side() * sizes.side() + kFloats), columns} {}

  int64_t row() const { return pairs * step; }
  int64_t products(const CorrelationSizes& sizes) const { return (sizes.side() + kPatchRows - 1) * blocks; }
};

// The rows around a strip, as pairs, with zeros outside.
class PairsAround {
 public:
  PairsAround(const CorrelationSizes& sizes, const MatrixPacking& packing, Image<const BFloat16> from, Pair* memory)
      : ring_(sizes, sizes.radius), sizes_(sizes), packing_(packing), from_(from), memory_(memory) {}

  static int64_t size(const CorrelationSizes& sizes, const MatrixPacking& packing) {
    return Ring::slots(sizes, sizes.radius) * packing.row();
  }

  void move_to(const Strip& strip) {
    // Within a strip, what is packed covers the same part of each row.
    if (!ring_.goes_on(strip)) std::fill_n(memory_, size(sizes_, packing_), Pair{0});
    const int64_t left = strip.begin - sizes_.radius, begin = std::max<int64_t>(left, 0);
    const int64_t end = std::min(strip.end + sizes_.radius, sizes_.width);
    ring_.move_to(
        strip, [&](int64_t y) { std::fill_n(slot(y), packing_.row(), Pair{0}); },
        [&](int64_t first, int64_t last) {
          pack_pairs(starting_at(from_, strip.image, first, begin), sizes_.channels, last - first, end - begin,
                     packing_.step, [&](int64_t y) { return slot(first + y) + begin - left; });
        });
  }

  // First column holds the strip's first x - radius.
  const Pair* row(int64_t y) const { return slot(y); }

 private:
  Pair* slot(int64_t y) const { return memory_ + ring_.slot(y) * packing_.row(); }

  Ring ring_;
  const CorrelationSizes& sizes_;
  const MatrixPacking& packing_;
  const Image<const BFloat16> from_;
  Pair* const memory_;
};

class MatrixForward {
 public:
  MatrixForward(const CorrelationSizes& sizes, Workspace& workspace)
      : sizes_(sizes),
        packing_(sizes),
        around_(workspace.take<Pair>(PairsAround::size(sizes, packing_))),
        pixels_(workspace.take<BFloat16>(pixels_size())),
        volume_(workspace.take<BFloat16>(sizes.band_rows * packing_.volume.row())),
        // A pixel's sums are read a vector at a time, beyond the last.
        sums_(workspace.take<float>(packing_.products(sizes) * kMatrixRows * kMatrixColumns + kFloats)),
        neighbours_(workspace.take<const Pair*>(packing_.products(sizes))),
        block_sums_(workspace.take<float*>(packing_.products(sizes))) {}

  void run(const RowSource<BFloat16>& first, const Image<const BFloat16>& second,
           const Activation<BFloat16>& activation, const Image<BFloat16>& output, int64_t begin, int64_t end) {
    PairsAround around(sizes_, packing_, second, around_);
    std::fill_n(pixels_, pixels_size(), BFloat16{0});
    for (int64_t index = begin; index < end; ++index) {
      const Strip strip(sizes_, packing_.strips, index);
      around.move_to(strip);
      pack(rows_of(first, strip.image, strip.y, strip.y + strip.rows, strip.begin, strip.end), strip);
      for (int64_t i = 0; i < strip.rows; i += kPatchRows) {
        const int64_t rows = std::min(kPatchRows, strip.rows - i);
        for (int64_t start = 0; start < strip.width(); start += kPatchColumns) {
          const int64_t x = std::max<int64_t>(0, std::min(start, strip.width() - kPatchColumns));
          multiply(patch_row(i) + x * kPatchRows * packing_.pixels.pitch, around, strip.y + i, rows, x);
          for (int64_t row = 0; row < rows; ++row)
            finish(activation, row, volume_ + (i + row) * packing_.volume.row() + x * packing_.volume.pitch);
        }
      }
      packing_.volume.unpack(volume_, strip, output);
    }
  }

 private:
  int64_t pixels_size() const { return parts(sizes_.band_rows, kPatchRows) * packing_.pixels.row(); }
  BFloat16* patch_row(int64_t i) const { return pixels_ + i / kPatchRows * packing_.pixels.row(); }

  void pack(const Image<const BFloat16>& from, const Strip& strip) const {
    const int64_t pitch = packing_.pixels.pitch;
    for_each_channel_block<BFloat16>(from, sizes_.channels, [&](int64_t c, int64_t count) {
      for (int64_t i = 0; i < strip.rows; ++i)
        copy_pixels(pixels_of(from, 0, c, i, 0),
                    Pixels<BFloat16>{patch_row(i) + i % kPatchRows * pitch + c, 1, kPatchRows * pitch}, count,
                    strip.width());
    });
  }

  void multiply(const BFloat16* pixels, const PairsAround& around, int64_t y, int64_t rows, int64_t x) {
    const int64_t products = (sizes_.side() + rows - 1) * packing_.blocks;
    for (int64_t product = 0; product < products; ++product) {
      const int64_t row = product / packing_.blocks, block = product % packing_.blocks;
      neighbours_[product] = around.row(y + row - sizes_.radius) + x + block * kMatrixColumns;
      block_sums_[product] = sums_ + row * kMatrixRows * sums_row() + block * kMatrixColumns;
    }
    constexpr int64_t kNumber = sizeof(BFloat16), kPair = sizeof(Pair), kSum = sizeof(float);
    sum_products(
        products, packing_.pairs / kMatrixPairs,
        {packing_.pixels.pitch * kNumber, packing_.step * kPair, sums_row() * kSum},
        [&](int64_t step) { return pixels + step * kMatrixDepth; },
        [&](int64_t product, int64_t step) { return neighbours_[product] + step * kMatrixPairs * packing_.step; },
        [&](int64_t product) { return block_sums_[product]; });
  }

  // One row of the patch. Its neighbours begin in this row of them, those of its pixel p at column p.
  void finish(const Activation<BFloat16>& activation, int64_t row, BFloat16* volume) const {
    const float scale = 1.0f / static_cast<float>(sizes_.divisor);
    const int64_t side = sizes_.side();
    for (int64_t p = 0; p < kPatchColumns; ++p) {
      for (int64_t dy = 0; dy < side; ++dy) {
        const float* sums = sums_ + ((row + dy) * kMatrixRows + p * kPatchRows + row) * sums_row() + p;
        BFloat16* const to = volume + p * packing_.volume.pitch + dy * side;
        // Whole vectors: what is too much is overwritten.
        for (int64_t dx = 0; dx < side; dx += kFloats) {
          const Vector<float> value = load_wide(sums + dx) * scale;
          store_narrow(to + dx, value > 0 ? value : value * activation.negative_slope);
        }
      }
    }
  }

  int64_t sums_row() const { return packing_.blocks * kMatrixColumns; }

  const CorrelationSizes& sizes_;
  const MatrixPacking packing_;
  Pair* const around_;
  BFloat16 *const pixels_, *const volume_;
  float* const sums_;
  const Pair** const neighbours_;
  float** const block_sums_;
};

inline CorrelationPlan matrix_plan(const CorrelationSizes& sizes, const CorrelationPlan& vectors) {
  Workspace workspace(nullptr);
  MatrixForward(sizes, workspace);
  return {vectors.strips, std::max(vectors.workspace, workspace.taken())};
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
