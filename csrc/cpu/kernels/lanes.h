#pragma once

#include <cstring>

#include "cpu/kernels/scalar.h"
#include "cpu/kernels/vector.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

// Numbers of any format from and to vectors of the wide one.
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
inline V load_lanes(const void* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class V>
inline void store_lanes(void* to, V value) {
  std::memcpy(to, &value, sizeof value);
}

template <class V>
inline bool is_zero(V value) {
#if defined(__AVX__)
  if constexpr (sizeof value == sizeof(__m256i)) return _mm256_testz_si256((__m256i)value, (__m256i)value);
#endif
  int32_t lanes[sizeof value / sizeof(int32_t)], any = 0;
  store_lanes(lanes, value);
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

inline Vector<float> load_wide(const float* from) { return load_lanes<Vector<float>>(from); }
inline Vector<double> load_wide(const double* from) { return load_lanes<Vector<double>>(from); }

inline Vector<float> load_wide(const BFloat16* from) {
  return widen_words(BFloat16{}, __builtin_convertvector(load_lanes<Halves>(from), Words));
}

inline Vector<float> load_wide(const Half* from) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_cvtph_ps(0xffff, load_lanes<__m256i>(from));
#elif defined(__AVX2__) && defined(__F16C__)
  return (Floats)_mm256_cvtph_ps(load_lanes<__m128i>(from));
#else
  return widen_words(Half{}, __builtin_convertvector(load_lanes<Halves>(from), Words));
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

// Fewer than a vector's lanes; the others are read as 0 and not written.
template <class T>
inline Vector<Wide<T>> load_some(const T* from, int64_t count) {
  T padded[kLanes<Wide<T>>] = {};
  std::memcpy(padded, from, count * sizeof(T));
  return load_wide(padded);
}

template <class T>
inline void store_some(T* to, Vector<Wide<T>> value, int64_t count) {
  T padded[kLanes<Wide<T>>];
  store_narrow(padded, value);
  std::memcpy(to, padded, count * sizeof(T));
}

// For each lane, the numbers at its offset and the one after. Two neighbours are one read of twice the size; gathers
// would read each by itself.
inline void read_pairs(const float* from, const int32_t* offset, Vector<float>& first, Vector<float>& second) {
  using Pairs = Lanes<double, kFloats / 2>;
  const auto pair = [&](int64_t lane) { return load_lanes<double>(from + offset[lane]); };
#if defined(__AVX512F__)
  const Pairs even{pair(0), pair(1), pair(4), pair(5), pair(8), pair(9), pair(12), pair(13)};
  const Pairs odd{pair(2), pair(3), pair(6), pair(7), pair(10), pair(11), pair(14), pair(15)};
  first = __builtin_shufflevector((Floats)even, (Floats)odd, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30);
  second =
      __builtin_shufflevector((Floats)even, (Floats)odd, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
#elif defined(__AVX2__)
  const Pairs even{pair(0), pair(1), pair(4), pair(5)}, odd{pair(2), pair(3), pair(6), pair(7)};
  first = __builtin_shufflevector((Floats)even, (Floats)odd, 0, 2, 8, 10, 4, 6, 12, 14);
  second = __builtin_shufflevector((Floats)even, (Floats)odd, 1, 3, 9, 11, 5, 7, 13, 15);
#else
  const Pairs even{pair(0), pair(1)}, odd{pair(2), pair(3)};
  first = __builtin_shufflevector((Floats)even, (Floats)odd, 0, 2, 4, 6);
  second = __builtin_shufflevector((Floats)even, (Floats)odd, 1, 3, 5, 7);
#endif
}

inline void read_pairs(const double* from, const int32_t* offset, Vector<double>& first, Vector<double>& second) {
  double pairs[2][kLanes<double>];
  for (int64_t lane = 0; lane < kLanes<double>; ++lane) {
    for (int k = 0; k < 2; ++k) pairs[k][lane] = from[offset[lane] + k];
  }
  first = load_lanes<Vector<double>>(pairs[0]);
  second = load_lanes<Vector<double>>(pairs[1]);
}

template <class T>
inline void read_pairs(const T* from, const int32_t* offset, Vector<float>& first, Vector<float>& second) {
  int32_t pairs[kFloats];
  for (int64_t lane = 0; lane < kFloats; ++lane) std::memcpy(pairs + lane, from + offset[lane], sizeof(int32_t));
  const Words both = load_lanes<Words>(pairs);
  // The lower address holds the lower half, as on every machine that this is compiled for.
  first = widen_words(T{}, both & 0xffff);
  second = widen_words(T{}, (both >> 16) & 0xffff);
}

}  // namespace
}  // namespace tryon_kernels
