#pragma once

#include <algorithm>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/sample_positions.h"

// Taps as lanes: a pixel's four are two neighbours in each of two rows, and a vector takes those of as many pixels.
namespace tryon_kernels {
namespace {

// How a vector's taps are read.
enum class Reading {
  kRun,      // all within, and its pixels' pairs follow one another: as vectors
  kSpan,     // all within, in one row and near one another: picked from two vectors of each row
  kSpans,    // the same, but some are in the next row
  kWithin,   // all within: pair by pair
  kPartial,  // some are outside: pair by pair, and what is no tap is left out
};

template <class P>
inline Vector<P> where(Indices<P> mask, Vector<P> value, Vector<P> otherwise) {
  return __builtin_convertvector(mask, Mask<P>) ? value : otherwise;
}

template <class P>
inline Indices<P> confined(Indices<P> index, int32_t last) {
  index = index < 0 ? Indices<P>{} : index;
  return index > last ? Indices<P>{} + last : index;
}

// Each pixel reads two neighbours from two rows; at the edges one of a pair is no tap.
template <class P>
struct alignas(kVectorBytes) Taps {
  PerPixel<P, int32_t> offset[2];  // of each row's pair; of spans: the first is the place, see below
  Reading reading[kPixels];        // of each vector
  int32_t lowest[kPixels];         // of each vector: the larger offset of its two ends, to fetch ahead by
  int32_t span[kPixels];           // of each vector whose reading is one of spans: where that of the upper row starts
};

// Where a flow is smooth, the taps of a vector's pixels are in few columns and in two rows or three:
//
//     start                      of two vectors, in each row
//       |. . * * . * * * . . .|  upper taps of pixels in row `top`
//       |. . * * . * o o o o .|  their lower taps, and upper ones of pixels one row further down
//       |. . . . . . o o o o .|
//
// A pixel's place is its left tap's in the span, and a span's length more where the pixel is one row further down.
template <class P>
constexpr int32_t kSpanColumns = 2 * kLanes<P>;

// Notes the spans of a vector whose taps are all within, if it has such.
template <class P>
inline void place_spans(const Sampling& sampling, Indices<P> left, Indices<P> top, int32_t down, int64_t i,
                        Taps<P>& taps) {
  constexpr int32_t kBefore = kLanes<P> / 2 - 1;  // columns left of the first pixel's
  const int32_t start = std::max(left[0] - kBefore, 0);
  const Indices<P> column = left - start;
  if (!is_zero(~are_indices<P>(column, kSpanColumns<P> - 1))) return;
  int32_t first_row = top[0];
  if (!is_zero(~are_indices<P>(top - first_row, 2)) && !is_zero(~are_indices<P>(top - --first_row, 2))) return;
  const Indices<P> further = top - first_row;
  const bool one_row = is_zero(further);
  const int32_t span = first_row * down + start, last_row = one_row ? 1 : 2;
  const int64_t end = (sampling.height - 1) * down + sampling.width;
  if (int64_t{span} + last_row * down + kSpanColumns<P> > end) return;  // would read beyond the plane
  store(taps.offset[0] + i, column + further * kSpanColumns<P>);
  taps.span[i / kLanes<P>] = span;
  taps.reading[i / kLanes<P>] = one_row ? Reading::kSpan : Reading::kSpans;
}

template <class P>
[[gnu::noinline]] void place_taps(const Sampling& sampling, int64_t row_stride, int64_t column_stride,
                                  const Tile<P>& tile, Taps<P>& taps) {
  const int32_t height = static_cast<int32_t>(sampling.height), width = static_cast<int32_t>(sampling.width);
  const int32_t down = static_cast<int32_t>(row_stride), across = static_cast<int32_t>(column_stride);
  Indices<P> lanes;
  for (int32_t lane = 0; lane < kLanes<P>; ++lane) lanes[lane] = lane;
  for (int64_t i = 0; i < tile.rows * tile.pitch; i += kLanes<P>) {
    const auto left = load<Indices<P>>(tile.x.first + i), top = load<Indices<P>>(tile.y.first + i);
    Reading& reading = taps.reading[i / kLanes<P>];
    if (is_zero(~(are_indices<P>(left, width - 1) & are_indices<P>(top, height - 1)))) {
      const Indices<P> offset = top * down + left * across;
      store(taps.offset[0] + i, offset);
      store(taps.offset[1] + i, offset + down);
      reading = is_zero(offset - taps.offset[0][i] - lanes) ? Reading::kRun : Reading::kWithin;
    } else {
      const Indices<P> column = confined<P>(left, width - 2);
      for (int j = 0; j < 2; ++j) store(taps.offset[j] + i, confined<P>(top + j, height - 1) * down + column * across);
      reading = Reading::kPartial;
    }
    taps.lowest[i / kLanes<P>] = std::max(taps.offset[1][i], taps.offset[1][i + kLanes<P> - 1]);
    if (kPicksLanes && column_stride == 1 && reading == Reading::kWithin)
      place_spans<P>(sampling, left, top, down, i, taps);
  }
}

// What the tile below will reach and this one does not, if the flow goes on as here: a line, in a plane, for each of
// this one's vectors. It is fetched ahead, for cores foresee reads along rows only.
template <class P>
inline int64_t ahead_of(const Tile<P>& tile, const Taps<P>& taps, int64_t i, int64_t row_stride) {
  return taps.lowest[i / kLanes<P>] + tile.below * row_stride;
}

// From the numbers read to the taps of row j; 0 outside. Taps are chosen, not added up, so that a zero keeps its sign:
// a pixel's result is the same whether or not others of its vector reach outside.
template <class P>
inline void leave_out(const Sampling& sampling, const Tile<P>& tile, int64_t i, int j, Vector<P>& left,
                      Vector<P>& right) {
  const int32_t height = static_cast<int32_t>(sampling.height), width = static_cast<int32_t>(sampling.width);
  const auto column = load<Indices<P>>(tile.x.first + i), row = load<Indices<P>>(tile.y.first + i) + j;
  const Indices<P> first = confined<P>(column, width - 2), within = (row >= 0) & (row < height);
  const Vector<P> zero{}, pair[2] = {where<P>(within, left, zero), where<P>(within, right, zero)};
  left = where<P>(column == first, pair[0], where<P>(column == first + 1, pair[1], zero));
  right = where<P>(column == first, pair[1], where<P>(column + 1 == first, pair[0], zero));
}

// Calls body<reading>() for the way that a vector's taps are read.
template <class Body>
inline void with_reading(Reading reading, const Body& body) {
  if constexpr (kPicksLanes) {
    if (reading == Reading::kSpan) return body.template operator()<Reading::kSpan>();
    if (reading == Reading::kSpans) return body.template operator()<Reading::kSpans>();
  }
  switch (reading) {
    case Reading::kRun:
      return body.template operator()<Reading::kRun>();
    case Reading::kWithin:
      return body.template operator()<Reading::kWithin>();
    default:
      return body.template operator()<Reading::kPartial>();
  }
}

// Whether offsets in an image fit the taps' and pairs of columns can be read.
template <class T>
bool has_tap_pairs(const Sampling& sampling, const Image<const T>& image) {
  return sampling.width > 1 && (sampling.height - 1) * image.row + sampling.width * image.column <= INT32_MAX;
}

}  // namespace
}  // namespace tryon_kernels
