#pragma once

#include <cmath>

#include "cuda/device/tiles.cuh"
#include "cuda/launch.h"

// From tensors to what the kernels of the correlation see of them.
namespace tryon_kernels::cuda {

template <class T>
Map<T> map_of(const Tensor& tensor) {
  const Image<const T> image = image_of<const T>(tensor);
  return {image, static_cast<int>(tensor.size(2)), static_cast<int>(tensor.size(3)), static_cast<int>(tensor.size(1)),
          has_vectors(image, tensor.size(1))};
}

// Where nothing is sampled, none are looked at.
template <class P>
Positions<const P> positions_or_none(const std::optional<Tensor>& positions) {
  return positions ? positions_of<const P>(*positions) : Positions<const P>{};
}

// Displacements along an axis of a volume's window.
inline int window_side(const Tensor& volume) {
  return static_cast<int>(std::lround(std::sqrt(static_cast<double>(volume.size(1)))));
}

inline int64_t multiprocessors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "the current device");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "its multiprocessors");
  return count;
}

}  // namespace tryon_kernels::cuda
