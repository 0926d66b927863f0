#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "image.h"

// Numbers of any format from and to the wide one, singly and 16 bytes at a time.
namespace tryon_kernels::cuda {

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ double widen(double value) { return value; }
__device__ __forceinline__ float widen(__half value) { return __half2float(value); }
__device__ __forceinline__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ __forceinline__ T narrow(Wide<T> value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

constexpr int kVectorBytes = 16;

// As many numbers as one load brings.
template <class T>
constexpr int kVector = kVectorBytes / sizeof(T);

template <class T>
struct alignas(kVectorBytes) Vector {
  T value[kVector<T>];
};

// From and to an address that is a multiple of 16 bytes.
template <class T>
__device__ __forceinline__ Vector<T> load_vector(const T* from) {
  return *reinterpret_cast<const Vector<T>*>(from);
}

template <class T>
__device__ __forceinline__ void store_vector(T* to, const Vector<T>& vector) {
  *reinterpret_cast<Vector<T>*>(to) = vector;
}

// The same to global memory, in one instruction: where an address is a long sum of strides, the compiler does not see
// that the numbers follow each other, and would store each by itself.
template <class T>
__device__ __forceinline__ void store_vector_globally(T* to, const Vector<T>& vector) {
#ifdef __CUDA_ARCH__
  uint4 bits;
  memcpy(&bits, &vector, sizeof(bits));
  __stwb(reinterpret_cast<uint4*>(to), bits);
#else
  store_vector(to, vector);
#endif
}

}  // namespace tryon_kernels::cuda
