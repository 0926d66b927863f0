#pragma once

#include <cstring>

#include "cpu/kernels/scalar.h"
#include "cpu/kernels/vector.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

// Loads and stores. `load` and `store` take bits as they are; `load_wide` and `store_narrow` convert numbers of any
// format from and to vectors of the wide one. The memory of all of them is aligned to its numbers only.
namespace tryon_kernels {
namespace {

template <class Element, int64_t Count>
struct LanesOf {
  typedef Element type __attribute__((vector_size(Count * sizeof(Element))));
};

template <class Element, int64_t Count>
using Lanes = typename LanesOf<Element, Count>::type;

constexpr int64_t kFloats = kLanes<float>;
using Floats = Vector<float>;
using Words = Lanes<int32_t, kFloats>;
using Halves = Lanes<uint16_t, kFloats>;

template <class V>
inline V load(const void* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class V>
inline void store(void* to, V value) {
  std::memcpy(to, &value, sizeof value);
}

// What products of features are made from, and as many of it as one instruction takes: bfloat16 as it is where the CPU
// multiplies that.
#if defined(__AVX512BF16__)
template <class T>
using Factor = std::conditional_t<std::is_same_v<T, BFloat16>, BFloat16, Wide<T>>;
#else
template <class T>
using Factor = Wide<T>;
#endif

template <class E>
using Factors = Lanes<std::conditional_t<std::is_same_v<E, BFloat16>, uint16_t, E>, kLanes<E>>;

// A sum of bfloat16 products takes those of two neighbours.
template <class E>
inline void add_products(Vector<Wide<E>>& sums, Factors<E> a, Factors<E> b) {
#if defined(__AVX512BF16__)
  if constexpr (std::is_same_v<E, BFloat16>) {
    sums = (Floats)_mm512_dpbf16_ps((__m512)sums, (__m512bh)a, (__m512bh)b);
    return;
  } else
#endif
    sums += a * b;
}

template <class V>
inline bool is_zero(V value) {
#if defined(__AVX512F__)
  if constexpr (sizeof value == sizeof(__m512i)) return _mm512_test_epi32_mask((__m512i)value, (__m512i)value) == 0;
#endif
#if defined(__AVX__)
  if constexpr (sizeof value == sizeof(__m256i)) return _mm256_testz_si256((__m256i)value, (__m256i)value);
#endif
  int32_t lanes[sizeof value / sizeof(int32_t)], any = 0;
  store(lanes, value);
  for (const int32_t lane : lanes) any |= lane;
  return any == 0;
}

// What the low 16 bits of each lane stand for; the others are 0.
inline Floats widen_words(BFloat16, Words bits) { return (Floats)(bits << 16); }

inline Floats widen_words(Half, Words bits) {  // as `widen` of one Half does it
  const Words magnitude = (bits & 0x7fff) << 13;
  const Words finite = (Words)((Floats)magnitude * 0x1p112f);
  const Words special = magnitude >= (0x7c00 << 13);
  return (Floats)((bits & 0x8000) << 16 | finite | (special & (magnitude | 0x7f800000)));
}

inline Vector<float> load_wide(const float* from) { return load<Vector<float>>(from); }
inline Vector<double> load_wide(const double* from) { return load<Vector<double>>(from); }

inline Vector<float> load_wide(const BFloat16* from) {
#if defined(__AVX512F__)
  return widen_words(BFloat16{}, (Words)_mm512_maskz_cvtepu16_epi32(0xffff, load<__m256i>(from)));
#elif defined(__AVX2__)
  return widen_words(BFloat16{}, (Words)_mm256_cvtepu16_epi32(load<__m128i>(from)));
#else
  return widen_words(BFloat16{}, __builtin_convertvector(load<Halves>(from), Words));
#endif
}

inline Vector<float> load_wide(const Half* from) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_cvtph_ps(0xffff, load<__m256i>(from));
#elif defined(__AVX2__) && defined(__F16C__)
  return (Floats)_mm256_cvtph_ps(load<__m128i>(from));
#else
  return widen_words(Half{}, __builtin_convertvector(load<Halves>(from), Words));
#endif
}

template <class T>
inline void store_narrow(T* to, Vector<Wide<T>> value) {
  if constexpr (std::is_same_v<T, Wide<T>>) {
    std::memcpy(to, &value, sizeof value);
  } else {
    Wide<T> lanes[kLanes<Wide<T>>];
    T narrowed[kLanes<Wide<T>>];
    std::memcpy(lanes, &value, sizeof value);
    for (int64_t lane = 0; lane < kLanes<Wide<T>>; ++lane) narrowed[lane] = narrow<T>(lanes[lane]);
    std::memcpy(to, narrowed, sizeof narrowed);
  }
}

// The upper half of each lane is the nearest bfloat16, as `narrow` of one BFloat16 has it; the lower half is anything.
inline Words rounded_to_upper(Floats value) {
  const Words bits = (Words)value, magnitude = bits & 0x7fffffff;
  const Words rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return magnitude > 0x7f800000 ? bits | 0x00400000 : rounded;
}

template <>
inline void store_narrow<BFloat16>(BFloat16* to, Vector<float> value) {
  const Words kept = rounded_to_upper(value);
#if defined(__AVX512F__)
  store(to, _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)(kept >> 16)));
#else
  store(to, __builtin_convertvector((kept >> 16) & 0xffff, Halves));
#endif
}

#if defined(__F16C__) && defined(__AVX2__)
template <>
inline void store_narrow<Half>(Half* to, Vector<float> value) {
#if defined(__AVX512F__)
  const __m256i halves = _mm512_maskz_cvtps_ph(0xffff, (__m512)value, _MM_FROUND_TO_NEAREST_INT);
#else
  const __m128i halves = _mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT);
#endif
  std::memcpy(to, &halves, sizeof halves);
}
#endif

// So many numbers of half a lane's size, each in the low half of a lane; the others are 0, or not written.
inline Words load_words(const void* from, int64_t count) {
#if defined(__AVX512F__)
  const __m256i halves = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), from);
  return (Words)_mm512_maskz_cvtepu16_epi32(0xffff, halves);
#else
  Halves halves = {};
  std::memcpy(&halves, from, count * sizeof(uint16_t));
  return __builtin_convertvector(halves, Words);
#endif
}

inline void store_words(void* to, Words words, int64_t count) {
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1),
                           _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)words));
#else
  const Halves halves = __builtin_convertvector(words, Halves);
  std::memcpy(to, &halves, count * sizeof(uint16_t));
#endif
}

// A plane away, a line is on another page of memory, and no cache has it.
template <class T>
constexpr bool is_far(int64_t step) {
  return step * static_cast<int64_t>(sizeof(T)) >= 8192;
}

// Of fewer numbers than a vector has lanes; the other lanes are 0, or not written.
template <class T>
inline Vector<Wide<T>> load_wide(const T* from, int64_t count) {
  if (count >= kLanes<Wide<T>>) return load_wide(from);
  T padded[kLanes<Wide<T>>] = {};
  std::memcpy(padded, from, count * sizeof(T));
  return load_wide(padded);
}

template <class T>
inline void store_narrow(T* to, Vector<Wide<T>> value, int64_t count) {
  if (count >= kLanes<Wide<T>>) return store_narrow<T>(to, value);
  T padded[kLanes<Wide<T>>];
  store_narrow<T>(padded, value);
  std::memcpy(to, padded, count * sizeof(T));
}

// A line that is written whole past the caches need not be read first. The caller settles such stores.
template <class V>
inline void store_bits(void* to, V value, [[maybe_unused]] bool past_caches) {
#if defined(__AVX512F__)
  if (past_caches && reinterpret_cast<uintptr_t>(to) % kVectorBytes == 0)
    return _mm512_stream_si512(static_cast<__m512i*>(to), (__m512i)value);
#endif
  store(to, value);
}

template <class T>
inline void store_line(T* to, Vector<Wide<T>> value, bool past_caches, int64_t count = kLanes<Wide<T>>) {
  if constexpr (std::is_same_v<T, Wide<T>>) {
    if (count >= kLanes<T>) return store_bits(to, value, past_caches);
  }
  store_narrow<T>(to, value, count);
}

// Whether the CPU's own instruction is the quickest way to read from many places. Those with AVX512_BF16, but for
// Intel's of today, which have AMX and take that variant, are AMD's: there, single loads are up to twice as quick.
#if defined(__AVX512F__) && !defined(__AVX512BF16__)
#define TRYON_KERNELS_GATHERS
// For a gather to write over. The compiler, which knows that nothing of it stays, would leave any register there, and
// the gather then waits for what was last written to that.
inline Floats fresh_zeros() {
  Floats zeros{};
  asm("" : "+v"(zeros));
  return zeros;
}
#endif

// Whether one instruction picks lanes of two vectors by indices that are known at run time only.
#if defined(__AVX512F__)
constexpr bool kPicksLanes = true;

// Lane l is lane index[l] of the two vectors laid end to end; an index counts modulo their number of lanes.
inline Vector<float> pick(Vector<float> first, Vector<float> second, Lanes<int32_t, kLanes<float>> index) {
  return (Vector<float>)_mm512_permutex2var_ps((__m512)first, (__m512i)index, (__m512)second);
}

inline Vector<double> pick(Vector<double> first, Vector<double> second, Lanes<int32_t, kLanes<double>> index) {
  const __m512i wide = _mm512_maskz_cvtepi32_epi64(0xff, (__m256i)index);
  return (Vector<double>)_mm512_permutex2var_pd((__m512d)first, wide, (__m512d)second);
}
#else
constexpr bool kPicksLanes = false;
#endif

// A vector of what is at these offsets, read one by one.
template <class Number, class T>
inline Vector<Number> read_each(const T* from, const int32_t* offset) {
  return [&]<int64_t... Lane>(std::integer_sequence<int64_t, Lane...>) {
    return Vector<Number>{load<Number>(from + offset[Lane])...};
  }(std::make_integer_sequence<int64_t, kLanes<Number>>());
}

// Where, in two vectors of pairs laid end to end, the first number of each lane's pair is. AVX2 has its quickest
// shuffles within the halves of a vector.
constexpr int64_t place_of_pair(int64_t lane) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return (lane & 4) + 4 * (lane & 2) + 2 * (lane & 1);
#else
  return 2 * lane;
#endif
}

// For each lane, the numbers at its offset and the one after. Two neighbours are one read of twice the size.
inline void read_pairs(const float* from, const int32_t* offset, Vector<float>& first, Vector<float>& second) {
#if defined(TRYON_KERNELS_GATHERS)
  const auto eight = [&](int64_t lane) {
    const __m256i at = load<__m256i>(offset + lane);
    return (Floats)_mm512_mask_i32gather_pd((__m512d)fresh_zeros(), 0xff, at, from, sizeof(float));
  };
  const Floats low = eight(0), high = eight(8);
#else
  using Pairs = Lanes<double, kFloats / 2>;
  const auto pair = [&](int64_t lane) { return load<double>(from + offset[lane]); };
#if defined(__AVX512F__)
  const auto low = (Floats)Pairs{pair(0), pair(1), pair(2), pair(3), pair(4), pair(5), pair(6), pair(7)};
  const auto high = (Floats)Pairs{pair(8), pair(9), pair(10), pair(11), pair(12), pair(13), pair(14), pair(15)};
#elif defined(__AVX2__)
  const auto low = (Floats)Pairs{pair(0), pair(1), pair(4), pair(5)};
  const auto high = (Floats)Pairs{pair(2), pair(3), pair(6), pair(7)};
#else
  const auto low = (Floats)Pairs{pair(0), pair(1)}, high = (Floats)Pairs{pair(2), pair(3)};
#endif
#endif
  constexpr auto left = [](int64_t lane) { return place_of_pair(lane); };
  constexpr auto right = [](int64_t lane) { return place_of_pair(lane) + 1; };
  first = shuffle<left, float>(low, high);
  second = shuffle<right, float>(low, high);
}

inline void read_pairs(const double* from, const int32_t* offset, Vector<double>& first, Vector<double>& second) {
  double pairs[2][kLanes<double>];
  for (int64_t lane = 0; lane < kLanes<double>; ++lane) {
    for (int k = 0; k < 2; ++k) pairs[k][lane] = from[offset[lane] + k];
  }
  first = load<Vector<double>>(pairs[0]);
  second = load<Vector<double>>(pairs[1]);
}

template <class T>
inline void read_pairs(const T* from, const int32_t* offset, Vector<float>& first, Vector<float>& second) {
#if defined(TRYON_KERNELS_GATHERS)
  const auto at = load<__m512i>(offset);
  const Words both = (Words)_mm512_mask_i32gather_epi32((__m512i)fresh_zeros(), 0xffff, at, from, sizeof(T));
#else
  const Words both = read_each<int32_t>(from, offset);
#endif
  // The lower address holds the lower half, as on every machine that this is compiled for.
  first = widen_words(T{}, both & 0xffff);
  second = widen_words(T{}, (both >> 16) & 0xffff);
}

}  // namespace
}  // namespace tryon_kernels
