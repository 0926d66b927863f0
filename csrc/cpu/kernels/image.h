#pragma once

#include <cstdint>

namespace tryon_kernels {

// A strided N x C x H x W tensor; strides in elements.
template <class T>
struct Image {
  T* data;
  int64_t image, channel, row, column;
};

}  // namespace tryon_kernels
