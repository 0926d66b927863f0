#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <algorithm>

#include "torch_tensors.h"

// From an op to a kernel that runs on the tensors' device.
namespace tryon_kernels::cuda {

inline void check(cudaError_t status, const char* what) {
  STD_TORCH_CHECK(status == cudaSuccess, "tryon_kernels: ", what, ": ", cudaGetErrorString(status));
}

// torch's current stream of the device that the tensor is on.
inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

constexpr int64_t kSharedBytesOfAnyDevice = 48 * 1024;  // that a block may have without being allowed more

// Runs a kernel over `grid` blocks of `block` threads with so many bytes of dynamic shared memory. A grid without
// blocks is no call.
template <class... Parameters, class... Arguments>
void launch(const char* name, const Tensor& tensor, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            int64_t shared_bytes, Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared_bytes > kSharedBytesOfAnyDevice)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
          name);
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = current_stream(tensor);
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
  check(cudaGetLastError(), name);
}

template <class Body>
void with_number_type(const char* name, const Tensor& tensor, const Body& body) {
  with_type_among<__half, __nv_bfloat16>(name, tensor, body);
}

// N x 2 x Ho x Wo, of any strides.
template <class P>
Positions<P> positions_of(const Tensor& tensor) {
  const Image<P> image = image_of<P>(tensor);
  return {image.data, image.image, image.channel, image.row, image.column};
}

inline int64_t parts(int64_t value, int64_t most) { return (value + most - 1) / most; }

// Whether an image's channels lie together so that vectors of 16 bytes can be read and written.
template <class T>
bool has_vectors(const Image<T>& image, int64_t channels) {
  constexpr int64_t kCount = 16 / sizeof(T);
  const bool aligned = reinterpret_cast<uintptr_t>(image.data) % 16 == 0;
  const bool steps = image.image % kCount == 0 && image.row % kCount == 0 && image.column % kCount == 0;
  return image.channel == 1 && channels % kCount == 0 && aligned && steps;
}

}  // namespace tryon_kernels::cuda
