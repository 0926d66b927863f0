#pragma once

#include <math.h>
#include <stdlib.h>

#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>

// CUDA's functions on numbers that are not C's, with the types that CUDA has them for: a call that compiles here must
// compile there.
namespace host_run {

template <class T, class... Types>
concept Among = (std::same_as<T, Types> || ...);

template <class T>
concept Number = Among<T, int, unsigned, long, unsigned long, long long, unsigned long long, float, double>;

// Out of range is the nearest number in it. CUDA makes of what is no number 0, or with 64 bits on one side the lowest.
template <class Integer>
Integer to_integer(double rounded, Integer no_number) {
  constexpr Integer kLowest = std::numeric_limits<Integer>::min(), kHighest = std::numeric_limits<Integer>::max();
  if (std::isnan(rounded)) return no_number;
  if (rounded >= -static_cast<double>(kLowest)) return kHighest;
  return rounded < static_cast<double>(kLowest) ? kLowest : static_cast<Integer>(rounded);
}

}  // namespace host_run

template <host_run::Number T>
constexpr T min(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return std::fmin(a, b);
  return b < a ? b : a;
}

template <host_run::Number T>
constexpr T max(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return std::fmax(a, b);
  return a < b ? b : a;
}

inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
inline double rsqrt(double value) { return 1.0 / std::sqrt(value); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }

inline int __float2int_rd(float value) { return host_run::to_integer<int>(std::floor(value), 0); }
inline int __float2int_rn(float value) { return host_run::to_integer<int>(std::nearbyint(value), 0); }
inline long long __double2ll_rn(double value) {
  return host_run::to_integer<long long>(std::nearbyint(value), std::numeric_limits<long long>::min());
}
inline long long __float2ll_rn(float value) { return __double2ll_rn(value); }

template <class T>
T __ldg(const T* address) {
  return *address;
}

// Only one thread runs at a time.
template <host_run::Among<int, unsigned, unsigned long long, float, double> T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = old + value;
  return old;
}

template <host_run::Among<int, unsigned, unsigned long long> T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = old | value;
  return old;
}
