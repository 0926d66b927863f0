#pragma once

#include <bit>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "image.h"

// Number formats of features.
namespace tryon_kernels {

struct Half {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

// One instruction set's functions for every number format: std::get<Functions<T>>(table).
template <template <class> class Functions>
using Table = std::tuple<Functions<float>, Functions<double>, Functions<Half>, Functions<BFloat16>>;

// In an anonymous namespace, so that each object keeps the code that its own instruction set gave it.
namespace {

inline float widen(float value) { return value; }
inline double widen(double value) { return value; }
inline float widen(BFloat16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }

inline float widen(Half value) {
  constexpr uint32_t kInfinity = 0x7c00u << 13;  // where the magnitudes of infinity and NaN begin
  constexpr float kRebias = 0x1p112f;            // 2^(127 - 15): from the exponent's bias here to float's
  constexpr uint32_t kFloatExponent = 0xffu << 23;
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t magnitude = uint32_t{value.bits & 0x7fffu} << 13;
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * kRebias);
  return std::bit_cast<float>(sign | (magnitude >= kInfinity ? magnitude | kFloatExponent : finite));
}

template <class T>
inline T narrow(Wide<T> value) {
  return value;
}

template <>
inline BFloat16 narrow<BFloat16>(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t to_nearest_even = bits + 0x7fffu + ((bits >> 16) & 1u);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>((is_nan ? bits | 0x00400000u : to_nearest_even) >> 16)};
}

template <>
inline Half narrow<Half>(float value) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  constexpr uint32_t kOverflow = 0x477ff000u;        // 65520: from here on the nearest half is infinite
  constexpr uint32_t kSmallestNormal = 0x38800000u;  // 2^-14
  constexpr uint32_t kRebias = 112u << 23;
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Adding 0.5 moves a subnormal's last bit (2^-24) to the last bit of a float, which rounds it as it should.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
  const uint32_t normal = (magnitude - kRebias + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  uint32_t rounded = magnitude < kSmallestNormal ? subnormal : normal;
  rounded = magnitude >= kOverflow ? 0x7c00u : rounded;
  rounded = magnitude > kInfinity ? 0x7e00u : rounded;
  return {static_cast<uint16_t>(sign | rounded)};
}

}  // namespace
}  // namespace tryon_kernels
