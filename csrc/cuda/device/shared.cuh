#pragma once

#include <cuda_runtime.h>

namespace tryon_kernels::cuda {

// The shared memory that a block was launched with, at a multiple of 16 bytes.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
}

}  // namespace tryon_kernels::cuda
