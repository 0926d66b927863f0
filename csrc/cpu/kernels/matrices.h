#pragma once

#include <cstdint>
#include <utility>

// Sums of products of matrices of bfloat16 on AMX: 16 x 32 numbers times 32 x 16, for 16 x 16 sums in float32.
namespace tryon_kernels {
namespace {

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

}  // namespace
}  // namespace tryon_kernels
