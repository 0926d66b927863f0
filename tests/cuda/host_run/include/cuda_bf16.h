#pragma once

#include <bit>

#include "cpu/kernels/scalar.h"

// Fewer conversions than CUDA's type has, and none implicit: what compiles here compiles there.
class __nv_bfloat16 {
 public:
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) : bits_(tryon_kernels::narrow<tryon_kernels::BFloat16>(value).bits) {}
  explicit __nv_bfloat16(double) = delete;  // would be rounded twice
  explicit operator float() const { return tryon_kernels::widen(tryon_kernels::BFloat16{bits_}); }

 private:
  uint16_t bits_;
};

inline float __bfloat162float(__nv_bfloat16 value) { return static_cast<float>(value); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return __nv_bfloat16(value); }
inline __nv_bfloat16 __float2bfloat16(float value) { return __nv_bfloat16(value); }
