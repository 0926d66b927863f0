#pragma once

#include <cstdint>

#include "cpu/kernels/image.h"
#include "cpu/kernels/scalar.h"

// Bilinear sampling, for warp and grid_sample alike: they differ in what a position means.
namespace tryon_kernels {

enum class Coordinates {
  kPixelOffsets,    // added to the output pixel's own position
  kCornersAligned,  // -1 and 1 are the centres of the outer pixels
  kEdgesAligned,    // -1 and 1 are the outer edges of the outer pixels
};

// Where to sample: two numbers (x, y) for each output pixel; `axis` is the stride from x to y.
template <class P>
struct Positions {
  P* data;
  int64_t image, axis, row, column;
};

struct Sampling {
  Coordinates coordinates;
  bool border;  // outside is the nearest pixel; else zeros
  int64_t channels, height, width, out_height, out_width;
};

// Rows are numbered through all images: row = image * out_height + y. Each function computes what belongs to the rows
// [begin, end), or to the channels [begin, end) of one image, and writes nothing else.
template <class T>
struct SampleKernels {
  using P = Wide<T>;
  void (*forward)(const Sampling& sampling, Image<const T> input, Positions<const P> positions, Image<T> output,
                  int64_t begin, int64_t end);
  void (*backward_positions)(const Sampling& sampling, Image<const T> grad_output, Image<const T> input,
                             Positions<const P> positions, Positions<P> grad_positions, int64_t begin, int64_t end);
  // Sums into `sums`, then writes `grad_input`, which may be the same memory.
  void (*backward_input)(const Sampling& sampling, Image<const T> grad_output, Positions<const P> positions,
                         Image<P> sums, Image<T> grad_input, int64_t image, int64_t begin, int64_t end);
};

}  // namespace tryon_kernels
