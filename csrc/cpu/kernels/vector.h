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

constexpr int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
constexpr int64_t parts(int64_t value, int64_t most) { return (value + most - 1) / most; }

constexpr int64_t kLineBytes = 64;

// So many numbers in an odd number of cache lines: rows that far apart do not share cache sets.
template <class P>
constexpr int64_t odd_lines(int64_t count) {
  constexpr int64_t kLine = kLineBytes / sizeof(P);
  return (parts(count, kLine) | 1) * kLine;
}

// Keeps a vector that several operations use in a register: compilers like to read it again for each of them, and a
// core does fewer loads than multiply-adds.
template <class V>
inline V kept(V value) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
  return value;
}

// Lane l of the result is lane source(l) of the two vectors laid end to end.
template <auto source, class V, int64_t... Lane>
inline V shuffle(V first, V second, std::integer_sequence<int64_t, Lane...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(first, second, source(Lane)...);
#else
  return __builtin_shuffle(first, second, decltype(first == second){source(Lane)...});
#endif
}

template <auto source, class P>
inline Vector<P> shuffle(Vector<P> first, Vector<P> second) {
  return shuffle<source>(first, second, std::make_integer_sequence<int64_t, kLanes<P>>());
}

// Adds lanes that lie `Step` apart: the first vector's to the lower one of each two, the second's to the upper one.
template <int64_t Step, class P>
inline Vector<P> fold(Vector<P> first, Vector<P> second) {
  constexpr auto own = [](int64_t lane) { return (lane & Step) ? kLanes<P> + lane : lane; };
  constexpr auto other = [](int64_t lane) { return (lane & Step) ? kLanes<P> + lane - Step : lane + Step; };
  return shuffle<own, P>(first, second) + shuffle<other, P>(first, second);
}

// Lane l becomes the sum of all lanes of vector l.
template <class P, int64_t Count = kLanes<P>>
inline Vector<P> sums_of_lanes(Vector<P> (&vectors)[kLanes<P>]) {
  constexpr int64_t kStep = Count / 2;
#pragma GCC unroll 16
  for (int64_t i = 0; i < kStep; ++i) vectors[i] = fold<kStep, P>(vectors[i], vectors[i + kStep]);
  if constexpr (kStep > 1) return sums_of_lanes<P, kStep>(vectors);
  return vectors[0];
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
