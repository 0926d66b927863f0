#pragma once

#include <cstdint>

#include "cpu/kernels/scalar.h"
#include "image.h"

// Correlation volume: for one image row and one vertical displacement it is a banded matrix product, of which the
// 2 radius + 1 diagonals are kept. Both gradients are two more products with the same
// diagonals.
//
// A stride needs no mention here: it is the same as stride 1 on every stride-th row and column, so the caller gives
// strided images. No size is 0. Strips of rows (see strips.h) are numbered through all images, and each call writes the
// strips [begin, end) and nothing else.
namespace tryon_kernels {

struct CorrelationSizes {
  int64_t channels, height, width, radius;
  // Of the sums: 1 where they are no means, and larger than the channels where these are some of a map's.
  int64_t divisor = channels;
  int64_t band_rows = 2;  // that are worked on together, at most `kMostRows`
  int64_t side() const { return 2 * radius + 1; }
};

// Leaky ReLU after the correlation; a slope of 1 is none. A gradient reads the slope off the output's sign.
template <class T>
struct Activation {
  Wide<T> negative_slope;
  Image<const T> output;  // used by the gradients only, and only with a slope
  bool used;
};

enum class Operand { kFirst, kSecond };

// Where a kernel reads rows: in an image or, if there is `make`, where it puts the columns [begin, end) of the rows
// [first, last) when they are wanted. What it gives starts with the first of these pixels and holds until the next
// call.
template <class T>
struct RowSource {
  Image<const T> image;
  Image<const T> (*make)(void* maker, int64_t n, int64_t first, int64_t last, int64_t begin, int64_t end) = nullptr;
  void* maker = nullptr;
};

// Where a kernel writes rows: to an image or, if there is `take`, always to its beginning, to be taken at once.
template <class T>
struct RowSink {
  Image<T> image;
  void (*take)(void* taker, int64_t n, int64_t first, int64_t last, int64_t begin, int64_t end) = nullptr;
  void* taker = nullptr;
};

constexpr int64_t kMostRows = 8;  // are made or taken at a time: fewer visit planes more often, more need more memory
constexpr int64_t kWorkspaceAlignment = 64;

struct CorrelationPlan {
  int64_t strips;     // that an image is worked through in; neighbours in number share packed rows
  int64_t workspace;  // bytes that one call may scribble on, aligned to `kWorkspaceAlignment`
};

template <class T>
struct CorrelationKernels {
  CorrelationPlan (*plan)(const CorrelationSizes& sizes);
  void (*forward)(const CorrelationSizes& sizes, const RowSource<T>& first, Image<const T> second,
                  const Activation<T>& activation, Image<T> output, void* workspace, int64_t begin, int64_t end);
  // Gradient of one operand from that of the output and the other operand.
  void (*backward)(const CorrelationSizes& sizes, Operand operand, Image<const T> grad_output,
                   const Activation<T>& activation, const RowSource<T>& other, const RowSink<T>& gradient,
                   void* workspace, int64_t begin, int64_t end);
  int64_t rows;            // that forward wants in a band
  int64_t rows_of_planes;  // the same of planes, where a few more stay in the second-level cache
  int64_t fitting;         // numbers of a map that do
};

}  // namespace tryon_kernels
