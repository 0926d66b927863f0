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

// Pixels of two planes to pairs; the last vector may overlap the one before.
inline void pair_planes(const BFloat16* low, const BFloat16* high, int64_t columns, Pair* to) {
  for (int64_t start = 0; start < columns; start += kFloats) {
    const int64_t x = std::min(start, columns - kFloats);
    const auto first = __builtin_convertvector(load<Halves>(low + x), Words);
    const auto second = __builtin_convertvector(load<Halves>(high + x), Words);
    store(to + x, first | second << 16);
  }
}

// Channels in pairs, those of neighbouring pixels side by side.
inline void pack_pairs(const Pixels<const BFloat16>& from, int64_t channels, int64_t columns, Pair* to, int64_t step) {
  const int64_t whole = channels / 2;
  if (from.channel == 1 && from.column % 2 == 0 && std::min(whole, columns) >= kLanes<float>) {
    transpose_rows(reinterpret_cast<const float*>(from.data), from.column / 2, reinterpret_cast<float*>(to), step,
                   columns, whole);
  } else if (from.column == 1 && columns >= kFloats) {
    for (int64_t pair = 0; pair < whole; ++pair) {
      const BFloat16* const low = from.data + 2 * pair * from.channel;
      pair_planes(low, low + from.channel, columns, to + pair * step);
    }
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
struct MatrixPacking {
  Strips strips;
  int64_t pairs;          // of channels, for whole matrices
  int64_t blocks;         // matrices of neighbours in reach of one of pixels
  int64_t columns, step;  // of a strip, for whole matrices; from pair to pair
  int64_t products;       // matrices of sums for 16 pixels
  Packed<float> volume;

  explicit MatrixPacking(const CorrelationSizes& sizes)
      : strips(sizes, odd_lines<float>(sizes.channels) * static_cast<int64_t>(sizeof(float))),
        pairs(round_up(std::max<int64_t>(1, sizes.channels), kMatrixDepth) / 2),
        blocks(1 + parts(2 * sizes.radius, kMatrixRows)),
        columns(round_up(std::min(strips.width, sizes.width), kMatrixRows)),
        step(odd_lines<float>(columns + (blocks - 1) * kMatrixRows)),
        products(sizes.side() * blocks),
        volume{sizes.side() * sizes.side(), odd_lines<float>(sizes.side() * sizes.side() + kLanes<float>), columns} {}

  int64_t row() const { return pairs * step; }
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
          for (int64_t y = first; y < last; ++y)
            pack_pairs(pixels_of(from_, strip.image, 0, y, begin), sizes_.channels, end - begin, slot(y) + begin - left,
                       packing_.step);
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
        pixels_(workspace.take<BFloat16>(packing_.columns * 2 * packing_.pairs)),
        volume_(workspace.take<float>(sizes.band_rows * packing_.volume.row())),
        // A pixel's sums are read a vector at a time, beyond the last.
        sums_(workspace.take<float>(packing_.products * kMatrixRows * kMatrixColumns + kLanes<float>)),
        neighbours_(workspace.take<const Pair*>(packing_.products)),
        block_sums_(workspace.take<float*>(packing_.products)) {}

  void run(const RowSource<BFloat16>& first, const Image<const BFloat16>& second,
           const Activation<BFloat16>& activation, const Image<BFloat16>& output, int64_t begin, int64_t end) {
    PairsAround around(sizes_, packing_, second, around_);
    std::fill_n(pixels_, packing_.columns * 2 * packing_.pairs, BFloat16{0});
    for (int64_t index = begin; index < end; ++index) {
      const Strip strip(sizes_, packing_.strips, index);
      around.move_to(strip);
      const auto rows = rows_of(first, strip.image, strip.y, strip.y + strip.rows, strip.begin, strip.end);
      for (int64_t i = 0; i < strip.rows; ++i) {
        const auto from = pixels_of(rows, 0, 0, i, 0);
        const void* pixels = from.data;
        int64_t pixel_bytes = from.column * static_cast<int64_t>(sizeof(BFloat16));
        if (from.channel != 1 || sizes_.channels % kMatrixDepth != 0 || strip.width() < kMatrixRows) {
          copy_pixels(from, Pixels<BFloat16>{pixels_, 1, 2 * packing_.pairs}, sizes_.channels, strip.width());
          pixels = pixels_;
          pixel_bytes = packing_.pairs * static_cast<int64_t>(sizeof(Pair));
        }
        for (int64_t start = 0; start < strip.width(); start += kMatrixRows) {
          const int64_t x = std::max<int64_t>(0, std::min(start, strip.width() - kMatrixRows));
          multiply(static_cast<const char*>(pixels) + x * pixel_bytes, pixel_bytes, around, strip.y + i, x);
          finish(activation, volume_ + i * packing_.volume.row() + x * packing_.volume.pitch);
        }
      }
      packing_.volume.unpack(volume_, strip, output);
    }
  }

 private:
  void multiply(const void* pixels, int64_t pixel_bytes, const PairsAround& around, int64_t y, int64_t x) {
    for (int64_t product = 0; product < packing_.products; ++product) {
      const int64_t dy = product / packing_.blocks, block = product % packing_.blocks;
      neighbours_[product] = around.row(y + dy - sizes_.radius) + x + block * kMatrixRows;
      block_sums_[product] = sums_ + dy * kMatrixRows * sums_row() + block * kMatrixColumns;
    }
    constexpr int64_t kPair = sizeof(Pair), kSum = sizeof(float);
    sum_products(
        packing_.products, packing_.pairs / kMatrixPairs, {pixel_bytes, packing_.step * kPair, sums_row() * kSum},
        [&](int64_t step) { return static_cast<const Pair*>(pixels) + step * kMatrixPairs; },
        [&](int64_t product, int64_t step) { return neighbours_[product] + step * kMatrixPairs * packing_.step; },
        [&](int64_t product) { return block_sums_[product]; });
  }

  // Pixel p's neighbours begin at column p.
  void finish(const Activation<BFloat16>& activation, float* volume) const {
    const float scale = 1.0f / static_cast<float>(sizes_.divisor);
    const int64_t side = sizes_.side();
    for (int64_t p = 0; p < kMatrixRows; ++p) {
      for (int64_t dy = 0; dy < side; ++dy) {
        const float* sums = sums_ + (dy * kMatrixRows + p) * sums_row() + p;
        float* const to = volume + p * packing_.volume.pitch + dy * side;
        // Whole vectors: what is too much is overwritten.
        for (int64_t dx = 0; dx < side; dx += kLanes<float>) {
          const Vector<float> value = load_wide(sums + dx) * scale;
          store(to + dx, value > 0 ? value : value * activation.negative_slope);
        }
      }
    }
  }

  int64_t sums_row() const { return packing_.blocks * kMatrixRows; }

  const CorrelationSizes& sizes_;
  const MatrixPacking packing_;
  Pair* const around_;
  BFloat16* const pixels_;
  float *const volume_, *const sums_;
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
