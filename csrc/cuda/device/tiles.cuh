#pragma once

#include <cuda_pipeline_primitives.h>

#include <bit>

#include "cuda/device/positions.cuh"

// Tiles of maps in shared memory, in the wide format: 16 bytes are some channels of one pixel, so that one load brings
// what several multiplications need.
//
//   a map in memory                           the tile in shared memory, a plane for each vector of channels
//
//              left                         columns sorted by their remainder by kPhases (here 4):
//               |                                      0 4 8 1 5 9 2 6 3 7
//   . . . . . . . . . . . . . . . .           row 0    v v v v v v v v v v gap    v: a vector of kLanes channels
//   . . . . . + + + + + + + + + + . - top     row 1    v v v v v v v v v v gap
//   . . . . . + + + + + + + + + + .           ...      <---- kPitch vectors --->
//   . . . . . + + + + + + + + + + .
//   . . . . . + + + c c c c + + + .           plane 0 has channels 0 .. kLanes - 1, plane 1, kPlane vectors later,
//   . . . . . + + + c c c c + + + .           the next ones, up to kVectors planes
//   . . . . . + + + + + + + + + + .
//   . . . . . + + + + + + + + + + .
//   . . . . . + + + + + + + + + + .
//
//   c: a block's tile of pixels; c and +: that of the other map, as far as a window part reaches around it. The
//   weights or results of the tile's pixels are apart from these: displacements of the window part x pixels.
//
// What is outside of the map is 0. A window of more displacements than a window part has several parts: a block has one
// of them (multiply_tile), or one after the other (gather_tile).
namespace tryon_kernels::cuda {

constexpr int kWindowPart = 7;  // displacements along an axis that a block goes through at a time

// So many channels of a pixel are one vector.
template <class T>
constexpr int kLanes = kVector<Wide<T>>;

template <class T>
using Channels = Vector<Wide<T>>;

// One image of a map, of which channels from `channels` on are 0.
template <class T>
struct Map {
  Image<const T> image;
  int height, width, channels;
  bool together;  // vectors of channels can be read

  __device__ __forceinline__ Map of_image(int64_t n) const {
    Map map = *this;
    map.image.data += n * image.image;
    return map;
  }
  __device__ __forceinline__ int64_t offset(int64_t y, int64_t x) const { return y * image.row + x * image.column; }
  __device__ __forceinline__ const T* at(int64_t offset, int64_t channel) const {
    return image.data + channel * image.channel + offset;
  }
};

// A vector's channels as they are in memory.
template <class T>
struct alignas(kLanes<T> * sizeof(T)) Stored {
  T value[kLanes<T>];
};

template <class T>
__device__ __forceinline__ Channels<T> read_channels(const Map<T>& map, int64_t offset, int channel) {
  Channels<T> numbers = {};
  const T* from = map.at(offset, channel);
  if (map.together) {
    const Stored<T> stored = *reinterpret_cast<const Stored<T>*>(from);
#pragma unroll
    for (int l = 0; l < kLanes<T>; ++l) numbers.value[l] = widen(stored.value[l]);
  } else {
#pragma unroll
    for (int l = 0; l < kLanes<T>; ++l) {
      if (channel + l < map.channels) numbers.value[l] = widen(from[l * map.image.channel]);
    }
  }
  return numbers;
}

// A window of a map whose upper left pixel is (top, left).
template <class T>
struct Window {
  Map<T> map;
  int top, left;

  __device__ __forceinline__ bool has(int row, int column) const {
    const int y = top + row, x = left + column;
    return y >= 0 && y < map.height && x >= 0 && x < map.width;
  }
  // Less than 0 outside the map.
  __device__ __forceinline__ int64_t offset(int row, int column) const {
    return has(row, column) ? map.offset(top + row, left + column) : -1;
  }
};

// Pixels of a map; 0 outside.
template <class T>
struct Pixels {
  // Numbers that are wide as they are can be copied while others are multiplied.
  static constexpr bool kCopied = std::is_same_v<T, Wide<T>>;
  static constexpr int kMostAtOnce = 2;  // vectors that a thread reads

  Map<T> map;
  const int64_t* offsets;

  __device__ __forceinline__ Channels<T> read(int index, int channel) const {
    const int64_t offset = offsets[index];
    return offset >= 0 && channel < map.channels ? read_channels(map, offset, channel) : Channels<T>{};
  }
};

// Where a pixel is sampled; `within` has a bit for each tap inside the map.
template <class P>
struct SampledPixel {
  int64_t upper_left;
  P right_weight, lower_weight;
  unsigned within;
};

// Pixels that are sampled in a map, rounded to its format as a warped map in memory would be.
template <class T>
struct Samples {
  static constexpr bool kCopied = false;
  static constexpr int kMostAtOnce = 1;  // that is four taps

  Map<T> map;
  const SampledPixel<Wide<T>>* pixels;

  __device__ __forceinline__ Channels<T> read(int index, int channel) const {
    using W = Wide<T>;
    const SampledPixel<W> pixel = pixels[index];
    Channels<T> taps[4] = {};
    if (channel < map.channels) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int64_t offset = pixel.upper_left + map.offset(k / 2, k % 2);
        if (pixel.within >> k & 1) taps[k] = read_channels(map, offset, channel);
      }
    }
    const W left = 1 - pixel.right_weight, right = pixel.right_weight;
    const W upper = 1 - pixel.lower_weight, lower = pixel.lower_weight;
    const W weights[4] = {upper * left, upper * right, lower * left, lower * right};
    Channels<T> samples;
#pragma unroll
    for (int l = 0; l < kLanes<T>; ++l) {
      const W values[4] = {taps[0].value[l], taps[1].value[l], taps[2].value[l], taps[3].value[l]};
      samples.value[l] = widen(narrow<T>(interpolate(weights, values)));
    }
    return samples;
  }
};

// Rows and columns of pixels, one vector of channels after the other. In a row, columns are sorted by their remainder
// by kPhases: threads that have groups of kPhases columns then read neighbouring vectors. Rows are kPitch vectors
// apart, and an odd number of vectors in a plane keeps the same pixel's vectors in different banks.
template <int kRowCount, int kColumnCount, int kPitch, int kPhases, int kVectorCount>
struct Tile {
  static constexpr int kRows = kRowCount, kColumns = kColumnCount, kVectors = kVectorCount;
  static constexpr int kPositions = kRows * kColumns;
  static constexpr int kPlane = kRows * kPitch | 1;
  static constexpr int kSize = kPlane * kVectors;

  static __device__ __forceinline__ constexpr int sorted(int column) {
    const int phase = column % kPhases, longer = kColumns % kPhases;
    return phase * (kColumns / kPhases) + (phase < longer ? phase : longer) + column / kPhases;
  }
  static __device__ __forceinline__ constexpr int slot(int row, int column) { return row * kPitch + sorted(column); }
  // Pixels counted in the order of their slots.
  static __device__ __forceinline__ constexpr int index(int row, int column) { return row * kColumns + sorted(column); }
  static __device__ __forceinline__ constexpr int slot_of_index(int index) {
    return index + index / kColumns * (kPitch - kColumns);
  }
};

// Where the tile's pixels are, by their index.
template <class Tile, int kThreads, class T>
__device__ __forceinline__ void place_pixels(const Window<T>& window, int64_t* offsets) {
  constexpr unsigned kColumns = Tile::kColumns;
  for (unsigned position = threadIdx.x; position < Tile::kPositions; position += kThreads) {
    const int row = position / kColumns, column = position % kColumns;
    offsets[Tile::index(row, column)] = window.offset(row, column);
  }
}

// Where they are sampled in a map; nowhere outside of the window's map, which has their positions.
template <class Tile, int kThreads, class T>
__device__ __forceinline__ void place_samples(const Map<T>& map, const Positions<const Wide<T>>& positions,
                                              const Placing& placing, int64_t n, const Window<T>& window,
                                              SampledPixel<Wide<T>>* pixels) {
  constexpr unsigned kColumns = Tile::kColumns;
  for (unsigned position = threadIdx.x; position < Tile::kPositions; position += kThreads) {
    const int row = position / kColumns, column = position % kColumns;
    SampledPixel<Wide<T>> pixel = {};
    if (window.has(row, column)) {
      const auto place =
          place_pixel(placing, positions, n, window.top + row, window.left + column, map.height, map.width);
      pixel = {map.offset(place.y.first, place.x.first), place.x.fraction, place.y.fraction, 0};
#pragma unroll
      for (int k = 0; k < 4; ++k) pixel.within |= place.has(k / 2, k % 2, map.height, map.width) ? 1u << k : 0u;
    }
    pixels[Tile::index(row, column)] = pixel;
  }
}

template <int kCount>
constexpr unsigned kPowerOfTwo = std::bit_ceil(unsigned{kCount});

// Goes over pairs: threads along the first of kAlong and then of kAcross. For each thread the former is always the
// same, so that what follows from it is computed once.
template <int kAlong, int kAcross, int kThreads, class Body>
__device__ __forceinline__ void share_out(const Body& body) {
  constexpr unsigned kLine = kPowerOfTwo<kAlong>;
  static_assert(kThreads % kLine == 0);
  const unsigned along = threadIdx.x % kLine;
  if (along >= kAlong) return;
#pragma unroll 2
  for (unsigned across = threadIdx.x / kLine; across < kAcross; across += kThreads / kLine)
    body(static_cast<int>(along), static_cast<int>(across));
}

// A thread's part of a tile: one vector of every kStep-th pixel. Threads go along what lies together in memory.
template <class Tile, int kThreads>
struct Share {
  static constexpr int kStep = kThreads / Tile::kVectors;
  static_assert(kThreads % Tile::kVectors == 0);

  int vector, index;

  static __device__ __forceinline__ Share of_thread(bool channels_together) {
    const unsigned thread = threadIdx.x, vectors = Tile::kVectors, step = kStep;
    if (channels_together) return {static_cast<int>(thread % vectors), static_cast<int>(thread / vectors)};
    return {static_cast<int>(thread / step), static_cast<int>(thread % step)};
  }
};

// A few vectors are read before the first is written, so that a thread waits once for all of them.
template <class Tile, int kThreads, class T, class Source>
__device__ __forceinline__ void fill_by_vectors(const Source& source, int channel, Channels<T>* tile) {
  using Shares = Share<Tile, kThreads>;
  constexpr int kCount = (Tile::kPositions + Shares::kStep - 1) / Shares::kStep;
  constexpr int kRounds = (kCount + Source::kMostAtOnce - 1) / Source::kMostAtOnce;
  constexpr int kAtOnce = (kCount + kRounds - 1) / kRounds;
  const Shares share = Shares::of_thread(source.map.together);
  channel += share.vector * kLanes<T>, tile += share.vector * Tile::kPlane;
#pragma unroll 1
  for (int begin = share.index; begin < Tile::kPositions; begin += kAtOnce * Shares::kStep) {
    Channels<T> numbers[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int index = begin + i * Shares::kStep;
      if (index < Tile::kPositions) numbers[i] = source.read(index, channel);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int index = begin + i * Shares::kStep;
      if (index < Tile::kPositions) tile[Tile::slot_of_index(index)] = numbers[i];
    }
  }
}

// A number or a vector, 0 where it is not real. It arrives when the pipeline is waited for.
template <class Number>
__device__ __forceinline__ void copy(Number* to, const void* from, bool real) {
  if (real) {
    __pipeline_memcpy_async(to, from, sizeof(Number));
  } else {
    *to = {};
  }
}

template <class Tile, int kThreads, class T>
__device__ __forceinline__ void copy_by_vectors(const Pixels<T>& source, int channel, Channels<T>* tile) {
  using Shares = Share<Tile, kThreads>;
  const Shares share = Shares::of_thread(true);
  channel += share.vector * kLanes<T>, tile += share.vector * Tile::kPlane;
  const T* const from = source.map.at(0, channel);
#pragma unroll 2
  for (int index = share.index; index < Tile::kPositions; index += Shares::kStep) {
    const int64_t offset = source.offsets[index];
    copy(tile + Tile::slot_of_index(index), from + offset, offset >= 0 && channel < source.map.channels);
  }
}

// Threads go along 8 pixels and then along a vector's channels: so they write to different banks.
template <class Tile, int kThreads, class T>
__device__ __forceinline__ void copy_by_numbers(const Pixels<T>& source, int channel, Channels<T>* tile) {
  constexpr unsigned kAlong = 8, kLaneCount = kLanes<T>;
  constexpr int kStep = kThreads / kLanes<T>;
  static_assert(kStep % kAlong == 0);
  const unsigned thread = threadIdx.x;
  const int lane = thread / kAlong % kLaneCount, rest = source.map.channels - channel - lane;
  const T* const from = source.map.at(0, channel + lane);
  const int64_t vector_step = source.map.image.channel * kLanes<T>;
#pragma unroll 2
  for (int index = thread / (kAlong * kLaneCount) * kAlong + thread % kAlong; index < Tile::kPositions;
       index += kStep) {
    const int64_t offset = source.offsets[index];
    Channels<T>* const to = tile + Tile::slot_of_index(index);
#pragma unroll
    for (int vector = 0; vector < Tile::kVectors; ++vector)
      copy(to[vector * Tile::kPlane].value + lane, from + offset + vector * vector_step,
           offset >= 0 && vector * kLanes<T> < rest);
  }
}

// The tile's channels from `channel` on. They are there after the pipeline was waited for and a barrier.
template <class Tile, int kThreads, class T, class Source>
__device__ __forceinline__ void fill(const Source& source, int channel, Channels<T>* tile) {
  if constexpr (!Source::kCopied) {
    fill_by_vectors<Tile, kThreads, T>(source, channel, tile);
  } else if (source.map.together) {
    copy_by_vectors<Tile, kThreads, T>(source, channel, tile);
  } else {
    copy_by_numbers<Tile, kThreads, T>(source, channel, tile);
  }
}

}  // namespace tryon_kernels::cuda
