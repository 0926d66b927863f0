#pragma once

#include <cstdint>
#include <type_traits>

// What kernels see of tensors; strides in elements.
namespace tryon_kernels {

// The format in which positions, weights and sums of numbers of this one are kept.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

// A strided N x C x H x W tensor.
template <class T>
struct Image {
  T* data;
  int64_t image, channel, row, column;
};

// Where to sample: two numbers (x, y) for each output pixel; `axis` is the stride from x to y.
template <class P>
struct Positions {
  P* data;
  int64_t image, axis, row, column;
};

// What a position means.
enum class Coordinates {
  kPixelOffsets,    // added to the output pixel's own position
  kCornersAligned,  // -1 and 1 are the centres of the outer pixels
  kEdgesAligned,    // -1 and 1 are the outer edges of the outer pixels
};

}  // namespace tryon_kernels
