#pragma once

#include "cpu/kernels/sample.h"

// The input's gradient, row by row: summed up while the gradients of its samples come, for the fused op.
namespace tryon_kernels {

// Sums for the pixels of one image, row by row. A pixel has `pitch` of them: its channels, and some more so that there
// are whole vectors.
template <class P>
struct GradientSums {
  P* data;
  int64_t pitch;
};

constexpr int64_t pitch_of_sums(int64_t channels) { return (channels + 15) / 16 * 16; }

template <class T>
struct ScatterKernels {
  using P = Wide<T>;
  // Adds what one row of `out_width` samples gives to the pixels that it was made from.
  void (*add_row)(const Sampling& sampling, Image<const T> gradients, Positions<const P> positions,
                  GradientSums<P> sums);
  void (*store)(const Sampling& sampling, GradientSums<P> sums, Image<T> image);
};

}  // namespace tryon_kernels
