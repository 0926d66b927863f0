#pragma once

#include <cstdint>

#include "cpu/kernels/scalar.h"
#include "image.h"

// Bilinear sampling, for warp and grid_sample alike: they differ in what a position means.
namespace tryon_kernels {

struct Sampling {
  Coordinates coordinates;
  bool border;  // outside is the nearest pixel; else zeros
  int64_t channels, height, width, out_height, out_width;
};

// For the input's gradient an output row is cut into segments, and the input into bands: some rows and channels of one
// image, of which there are as many as `channels_of_band` says or are left.
constexpr int64_t kSegment = 64;

// The input rows that hold taps of a segment, and maybe some between.
struct Reach {
  int32_t first, last;
};

struct Band {
  int64_t image, first_channel, first_row, rows;
};

namespace {

inline int64_t segments_of_row(const Sampling& sampling) { return (sampling.out_width + kSegment - 1) / kSegment; }

constexpr int64_t channels_of_band(int64_t channels) { return channels <= 4 ? 4 : channels <= 16 ? 16 : 32; }

}  // namespace

// Rows are numbered through all images: row = image * out_height + y. Each function computes what belongs to the rows
// [begin, end), or to a band, and writes nothing else.
template <class T>
struct SampleKernels {
  using P = Wide<T>;
  void (*forward)(const Sampling& sampling, Image<const T> input, Positions<const P> positions, Image<T> output,
                  int64_t begin, int64_t end);
  void (*backward_positions)(const Sampling& sampling, Image<const T> grad_output, Image<const T> input,
                             Positions<const P> positions, Positions<P> grad_positions, int64_t begin, int64_t end);
  // One for each segment, in order, from the first image's first on.
  void (*reach)(const Sampling& sampling, Positions<const P> positions, Reach* reaches, int64_t begin, int64_t end);
  // Sums over the output pixels that reach the band; without reaches over all. `sums` is memory for rows * width *
  // channels_of_band numbers.
  void (*backward_input)(const Sampling& sampling, Image<const T> grad_output, Positions<const P> positions,
                         const Reach* reaches, Image<T> grad_input, const Band& band, P* sums);
};

}  // namespace tryon_kernels
