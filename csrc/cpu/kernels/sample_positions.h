#pragma once

#include <cstdint>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/sample.h"

// Where output pixels fall in the input.
namespace tryon_kernels {
namespace {

constexpr int64_t kPixels = 256;  // are located at a time: what is known of them stays in the first-level cache

// One number for each pixel; vectors may reach beyond the last.
template <class P, class Number>
using PerPixel = Number[kPixels + kLanes<P>];

// Where pixels fall along one axis: between pixel `first` of the input and the next.
template <class P>
struct Along {
  PerPixel<P, int32_t> first;
  PerPixel<P, P> fraction;
  PerPixel<P, P> slope;  // of the pixel position by the given one; 0 where it was confined
};

template <class P>
using Indices = Lanes<int32_t, kLanes<P>>;

template <class P>
using Mask = decltype(Vector<P>{} > 0);

// Positions are brought in from where they change nothing any more: to the outer pixels, or for zeros to a place whose
// taps are all outside. NaN compares false with everything and so goes to the low end.
template <bool Border, class P>
inline void confine(Vector<P> position, P size, P slope, int64_t at, Along<P>& along) {
  const Vector<P> zero{}, low = zero + (Border ? 0 : -2), high = zero + (Border ? size - 1 : size);
  const Mask<P> inside = Border ? (position > low) & (position < high) : (position >= zero - 1) & (position <= high);
  const Vector<P> end = position >= high ? high : low;
  const Vector<P> confined = inside ? position : end;
  // Truncation and a correction are floor, without the call into the maths library that baseline x86-64 needs.
  const auto truncated = __builtin_convertvector(confined, Indices<P>);
  const Mask<P> above = __builtin_convertvector(truncated, Vector<P>) > confined;
  const Indices<P> first = truncated + __builtin_convertvector(above, Indices<P>);  // a mask is -1 where it holds
  store_lanes(along.first + at, first);
  store_lanes(along.fraction + at, confined - __builtin_convertvector(first, Vector<P>));
  store_lanes(along.slope + at, inside ? zero + slope : zero);
}

// From given positions to those in pixels; `index` is the output pixel's own.
template <Coordinates C, class P>
inline Vector<P> to_pixels(Vector<P> given, Vector<P> index, P size) {
  if constexpr (C == Coordinates::kPixelOffsets) return given + index;
  if constexpr (C == Coordinates::kCornersAligned) return (given + 1) / 2 * (size - 1);
  return ((given + 1) * size - 1) / 2;
}

template <class P>
P slope_of(Coordinates coordinates, P size) {
  if (coordinates == Coordinates::kPixelOffsets) return 1;
  return coordinates == Coordinates::kCornersAligned ? (size - 1) / 2 : size / 2;
}

// Along one axis; `index` is the first output pixel's own position and `step` the way from one to the next.
template <Coordinates C, bool Border, class P>
void locate_along(const P* given, int64_t stride, int64_t count, int64_t index, int64_t step, int64_t size, int64_t at,
                  Along<P>& along) {
  PerPixel<P, P> together;
  if (stride == 2) {
    for (int64_t i = 0; i < count; ++i) together[i] = given[2 * i];
  } else {
    for (int64_t i = 0; i < count; ++i) together[i] = given[stride * i];
  }
  store_lanes(together + count, Vector<P>{});
  const P extent = static_cast<P>(size), slope = slope_of(C, extent);
  Vector<P> steps;
  for (int64_t lane = 0; lane < kLanes<P>; ++lane) steps[lane] = static_cast<P>(lane * step);
  for (int64_t i = 0; i < count; i += kLanes<P>) {
    const Vector<P> own = steps + static_cast<P>(index + i * step);
    confine<Border>(to_pixels<C>(load_wide(together + i), own, extent), extent, slope, at + i, along);
  }
}

// Places `count` pixels of output row `row`, from `column` on, as the pixels `at` and following of x and y.
template <class P>
void locate(const Sampling& sampling, const Positions<const P>& positions, int64_t image, int64_t row, int64_t column,
            int64_t count, int64_t at, Along<P>& x, Along<P>& y) {
  const P* given = positions.data + image * positions.image + row * positions.row + column * positions.column;
  const auto both_axes = [&]<Coordinates C, bool Border>() {
    locate_along<C, Border>(given, positions.column, count, column, 1, sampling.width, at, x);
    locate_along<C, Border>(given + positions.axis, positions.column, count, row, 0, sampling.height, at, y);
  };
  const auto with_padding = [&]<Coordinates C>() {
    sampling.border ? both_axes.template operator()<C, true>() : both_axes.template operator()<C, false>();
  };
  switch (sampling.coordinates) {
    case Coordinates::kPixelOffsets:
      return with_padding.template operator()<Coordinates::kPixelOffsets>();
    case Coordinates::kCornersAligned:
      return with_padding.template operator()<Coordinates::kCornersAligned>();
    default:
      return with_padding.template operator()<Coordinates::kEdgesAligned>();
  }
}

inline unsigned is_index(int64_t value, int64_t size) {
  return static_cast<uint64_t>(value) < static_cast<uint64_t>(size);
}

}  // namespace
}  // namespace tryon_kernels
