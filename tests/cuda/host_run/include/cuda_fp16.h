#pragma once

#include <bit>

#include "cpu/kernels/scalar.h"

// Fewer conversions than CUDA's type has, and none implicit: what compiles here compiles there.
class __half {
 public:
  __half() = default;
  explicit __half(float value) : bits_(tryon_kernels::narrow<tryon_kernels::Half>(value).bits) {}
  explicit __half(double) = delete;  // would be rounded twice
  explicit operator float() const { return tryon_kernels::widen(tryon_kernels::Half{bits_}); }

 private:
  uint16_t bits_;
};

inline float __half2float(__half value) { return static_cast<float>(value); }
inline __half __float2half_rn(float value) { return __half(value); }
inline __half __float2half(float value) { return __half(value); }
