#pragma once

#include "cuda/device/numbers.cuh"

// Where output pixels fall in the input: what all kernels that sample have in common.
namespace tryon_kernels::cuda {

// What a position means, and what is outside of the image.
struct Placing {
  Coordinates coordinates;
  bool border;  // outside is the nearest pixel; else zeros
};

// Along one axis: the lower one of two neighbours, the fraction of the way to the other one, and the pixel position's
// slope by the given one.
template <class P>
struct Place {
  int first;
  P fraction, slope;
};

// As in tryon_kernels/eager.py: positions are brought in from where they change nothing any more, not a number to the
// low end, and then have the slope 0.
template <class P>
__device__ __forceinline__ Place<P> locate(const Placing& placing, P given, int index, int size) {
  const P extent = static_cast<P>(size);
  P position, slope;
  if (placing.coordinates == Coordinates::kPixelOffsets) {
    position = given + static_cast<P>(index);
    slope = 1;
  } else if (placing.coordinates == Coordinates::kCornersAligned) {
    position = (given + 1) / 2 * (extent - 1);
    slope = (extent - 1) / 2;
  } else {
    position = ((given + 1) * extent - 1) / 2;
    slope = extent / 2;
  }
  const P low = placing.border ? P{0} : P{-2}, high = placing.border ? extent - 1 : extent;
  const bool inside = placing.border ? position > low && position < high : position >= -1 && position <= high;
  const P confined = inside ? position : position >= high ? high : low;
  const P first = floor(confined);
  return {static_cast<int>(first), confined - first, inside ? slope : P{0}};
}

// An output pixel's place in an image: its upper left tap, and how the weight is shared out.
template <class P>
struct PixelPlace {
  Place<P> x, y;

  __device__ __forceinline__ P weight(int row, int column) const {
    return (row ? y.fraction : 1 - y.fraction) * (column ? x.fraction : 1 - x.fraction);
  }
  // Whether a tap is within an image of this size.
  __device__ __forceinline__ bool has(int row, int column, int height, int width) const {
    const int at_y = y.first + row, at_x = x.first + column;
    return at_y >= 0 && at_y < height && at_x >= 0 && at_x < width;
  }
};

// Of output pixel (y, x) of image n in an input of this size.
template <class P>
__device__ __forceinline__ PixelPlace<P> place_pixel(const Placing& placing, const Positions<const P>& positions,
                                                     int64_t n, int y, int x, int height, int width) {
  const P* given = positions.data + n * positions.image + y * positions.row + x * positions.column;
  return {locate(placing, given[0], x, width), locate(placing, given[positions.axis], y, height)};
}

// The sample of four taps, by rows. Multiplications and additions are joined here as written, so that a warped map has
// the same bits in whichever kernel it arises.
template <class P>
__device__ __forceinline__ P interpolate(const P (&weight)[4], const P (&tap)[4]) {
  return fma(weight[3], tap[3], fma(weight[2], tap[2], fma(weight[1], tap[1], weight[0] * tap[0])));
}

}  // namespace tryon_kernels::cuda
