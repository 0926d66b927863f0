#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernels/lanes.h"

// AMX, whose registers are matrices: one instruction multiplies two of bfloat16 numbers and adds the products up.
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

// What the eight registers hold. Factors of one sum's own take turns, so that a load need not wait for a product.
constexpr int kMatrixSums = 4, kCommon = 4, kOwn = 5, kOwns = 3;

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

template <int Sum, int Left, int Right>
inline void multiply_matrices() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(Left), "i"(Right));
}

// To bfloat16, subnormal numbers to 0. CPUs with AMX have these instructions too.
inline Halves rounded(Vector<float> values) {
  Halves halves;
  asm("vcvtneps2bf16 %1, %0" : "=v"(halves) : "v"(values));
  return halves;
}
inline Lanes<uint16_t, 2 * kFloats> rounded(Vector<float> first, Vector<float> second) {
  Lanes<uint16_t, 2 * kFloats> halves;
  asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(halves) : "v"(first), "v"(second));
  return halves;
}

// Which factor all sums have in common.
enum class Common { kLeft, kRight };

// A matrix in memory is where it starts; its rows lie so many bytes apart.
struct RowBytes {
  int64_t common, own, sums;
};

// Sums over `steps` pairs of matrices common(step), own(sum, step), for `Count` sums, to sums(sum).
template <Common Which, int Count, class OfAll, class Own, class Sums>
void sum_products(int64_t steps, const RowBytes& bytes, const OfAll& common, const Own& own, const Sums& sums) {
  const auto each = [](const auto& body) {
    [&]<int... Sum>(std::integer_sequence<int, Sum...>) {
      (body(std::integral_constant<int, Sum>()), ...);
    }(std::make_integer_sequence<int, Count>());
  };
  each([](auto sum) { clear_matrix<sum>(); });
  for (int64_t step = 0; step < steps; ++step) {
    load_matrix<kCommon>(common(step), bytes.common);
    each([&](auto sum) {
      constexpr int kMatrix = kOwn + sum % kOwns;
      load_matrix<kMatrix>(own(sum, step), bytes.own);
      if constexpr (Which == Common::kLeft)
        multiply_matrices<sum, kCommon, kMatrix>();
      else
        multiply_matrices<sum, kMatrix, kCommon>();
    });
  }
  each([&](auto sum) { store_matrix<sum>(sums(sum), bytes.sums); });
}

// For any number of sums, as many at a time as the registers hold.
template <Common Which, class OfAll, class Own, class Sums>
void sum_products(int64_t count, int64_t steps, const RowBytes& bytes, const OfAll& common, const Own& own,
                  const Sums& sums) {
  for (int64_t first = 0; first < count; first += kMatrixSums) {
    const auto some = [&]<int Count>() {
      sum_products<Which, Count>(
          steps, bytes, common, [&](int64_t sum, int64_t step) { return own(first + sum, step); },
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

inline __mmask16 lanes_below(int64_t count) {
  return static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, kFloats)) - 1);
}

// Numbers from two places side by side, as many as the masks say; the others are 0.
inline Words paired(const BFloat16* low, __mmask16 of_low, const BFloat16* high, __mmask16 of_high) {
  const auto words = [](const BFloat16* from, __mmask16 mask) {
    return (Lanes<uint32_t, kFloats>)_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_maskz_loadu_epi16(mask, from));
  };
  return (Words)(words(low, of_low) | words(high, of_high) << 16);
}

}  // namespace
}  // namespace tryon_kernels
