#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "cpu/kernels/scalar.h"

// The widest vectors of the instruction set that this object is compiled for.
namespace tryon_kernels {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

template <class P>
constexpr int64_t kLanes = kVectorBytes / sizeof(P);

template <class P, int64_t Bytes = kVectorBytes>
struct VectorOf {
  typedef P type __attribute__((vector_size(Bytes), may_alias));
};

template <class P>
using Vector = typename VectorOf<P>::type;

// From an address that is a multiple of the vector's size.
template <class P>
inline Vector<P> load(const P* from) {
  return *reinterpret_cast<const Vector<P>*>(from);
}

template <class P>
inline void store(P* to, Vector<P> value) {
  *reinterpret_cast<Vector<P>*>(to) = value;
}

// From any address, widened.
template <class T, class P = Wide<T>>
inline Vector<P> load_any(const T* from) {
  Vector<P> value;
  if constexpr (std::is_same_v<T, P>) {
    std::memcpy(&value, from, sizeof value);
  } else {
    alignas(kVectorBytes) P lanes[kLanes<P>];
    for (int64_t lane = 0; lane < kLanes<P>; ++lane) lanes[lane] = widen(from[lane]);
    value = load(lanes);
  }
  return value;
}

// To any address, narrowed.
template <class T, class P = Wide<T>>
inline void store_any(T* to, Vector<P> value) {
  if constexpr (std::is_same_v<T, P>) {
    std::memcpy(to, &value, sizeof value);
  } else {
    alignas(kVectorBytes) P lanes[kLanes<P>];
    store(lanes, value);
    for (int64_t lane = 0; lane < kLanes<P>; ++lane) to[lane] = narrow<T>(lanes[lane]);
  }
}

// Lane l of the result is lane source(l) of the two vectors laid end to end.
template <auto source, class V, int64_t... Lane>
inline auto shuffle(V first, V second, std::integer_sequence<int64_t, Lane...>) {
  return __builtin_shufflevector(first, second, source(Lane)...);
}

template <auto source, class P>
inline Vector<P> shuffle(Vector<P> first, Vector<P> second) {
  return shuffle<source>(first, second, std::make_integer_sequence<int64_t, kLanes<P>>());
}

// Shuffles within 16 bytes are cheap everywhere: sums over lanes work on such blocks as long as they can.
template <class P>
constexpr int64_t kBlock = 16 / sizeof(P);

// Sums of neighbouring lanes: in each block those of the first vector, then those of the second.
template <class P>
inline Vector<P> fold(Vector<P> first, Vector<P> second) {
  constexpr auto even = [](int64_t lane) {
    const int64_t block = lane / kBlock<P> * kBlock<P>, within = (lane - block) * 2;
    return block + within % kBlock<P> + (within >= kBlock<P> ? kLanes<P> : 0);
  };
  constexpr auto odd = [](int64_t lane) {
    const int64_t block = lane / kBlock<P> * kBlock<P>, within = (lane - block) * 2;
    return block + within % kBlock<P> + (within >= kBlock<P> ? kLanes<P> : 0) + 1;
  };
  return shuffle<even, P>(first, second) + shuffle<odd, P>(first, second);
}

// Adds up the blocks of a vector.
template <class P>
inline auto sum_of_blocks(Vector<P> value) {
  const auto block = [&]<int64_t First>(std::integral_constant<int64_t, First>) {
    return shuffle<[](int64_t lane) { return First + lane; }>(value, value,
                                                              std::make_integer_sequence<int64_t, kBlock<P>>());
  };
  return [&]<int64_t... Index>(std::integer_sequence<int64_t, Index...>) {
    return (... + block(std::integral_constant<int64_t, Index * kBlock<P>>()));
  }(std::make_integer_sequence<int64_t, kLanes<P> / kBlock<P>>());
}

// The sum of each vector's lanes, for four vectors at a time.
template <class P>
inline void sums_of_lanes(Vector<P> a, Vector<P> b, Vector<P> c, Vector<P> d, P* to) {
  if constexpr (kBlock<P> == 4) {
    const auto sums = sum_of_blocks<P>(fold<P>(fold<P>(a, b), fold<P>(c, d)));
    std::memcpy(to, &sums, sizeof sums);
  } else {
    const auto low = sum_of_blocks<P>(fold<P>(a, b)), high = sum_of_blocks<P>(fold<P>(c, d));
    std::memcpy(to, &low, sizeof low);
    std::memcpy(to + 2, &high, sizeof high);
  }
}

// Transposes a square of lanes: halves change places, then quarters within each half, and so on.
template <class P, int64_t Step = kLanes<P> / 2>
inline void transpose(Vector<P> (&rows)[kLanes<P>]) {
  constexpr auto upper = [](int64_t lane) { return (lane & Step) ? kLanes<P> + lane - Step : lane; };
  constexpr auto lower = [](int64_t lane) { return (lane & Step) ? kLanes<P> + lane : lane + Step; };
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes<P>; ++i) {
    if (i & Step) continue;
    const Vector<P> first = rows[i], second = rows[i + Step];
    rows[i] = shuffle<upper, P>(first, second);
    rows[i + Step] = shuffle<lower, P>(first, second);
  }
  if constexpr (Step > 1) transpose<P, Step / 2>(rows);
}

}  // namespace
}  // namespace tryon_kernels
