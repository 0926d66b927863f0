#pragma once

#include "cuda/device/positions.cuh"

// The four pixels that a sample is made of, and the output pixels that blocks of threads go over.
namespace tryon_kernels::cuda {

constexpr unsigned kSamplingThreads = 256;  // of a block, at most
constexpr unsigned kResidentBlocks = 4;     // that registers must suffice for: 64 for each thread
constexpr unsigned kWarp = 32;
constexpr unsigned kWholeWarp = 0xffffffff;
constexpr int kTaps = 4;  // upper left, upper right, lower left, lower right

// A batch of images and its output.
struct Sampling {
  Placing placing;
  int64_t images, channels;
  int height, width, out_height, out_width;
};

// The outputs in tiles, so that neighbours in both directions find the taps that they share in a multiprocessor's
// cache. Blocks are numbered along x by tiles, rows of tiles and images, and along y by channels.
struct Tiling {
  unsigned rows, columns;  // of a tile
  unsigned down, across;   // tiles of an output
  int64_t channels;        // that one block serves
};

// An output pixel; the nearest one, and not real, where a tile reaches beyond the output.
struct Pixel {
  int64_t n;
  int y, x;
  bool real;
};

__device__ __forceinline__ Pixel pixel_of(const Sampling& sampling, const Tiling& tiling, unsigned row,
                                          unsigned column) {
  const unsigned tiles_row = blockIdx.x / tiling.across, n = tiles_row / tiling.down;
  const unsigned y = (tiles_row - n * tiling.down) * tiling.rows + row;
  const unsigned x = (blockIdx.x - tiles_row * tiling.across) * tiling.columns + column;
  const unsigned last_y = sampling.out_height - 1, last_x = sampling.out_width - 1;
  return {n, static_cast<int>(y < last_y ? y : last_y), static_cast<int>(x < last_x ? x : last_x),
          y <= last_y && x <= last_x};
}

// The channels of this block: from the first one to before the end.
struct ChannelRange {
  int64_t first, end;
};

__device__ __forceinline__ ChannelRange channels_of(const Sampling& sampling, const Tiling& tiling) {
  const int64_t first = blockIdx.y * tiling.channels, rest = sampling.channels - first;
  return {first, first + (rest < tiling.channels ? rest : tiling.channels)};
}

template <class T>
__device__ __forceinline__ T* address(const Image<T>& image, int64_t n, int64_t y, int64_t x) {
  return image.data + n * image.image + y * image.row + x * image.column;
}

// Where an image has an output pixel's first channel.
template <class T>
__device__ __forceinline__ T* address(const Image<T>& image, const Pixel& pixel) {
  return address(image, pixel.n, pixel.y, pixel.x);
}

template <class T>
__device__ __forceinline__ PixelPlace<Wide<T>> place_of(const Sampling& sampling,
                                                        const Positions<const Wide<T>>& positions, const Pixel& pixel) {
  return place_pixel(sampling.placing, positions, pixel.n, pixel.y, pixel.x, sampling.height, sampling.width);
}

// Where an image has the taps of its first channel; those outside are not to be touched.
template <class T>
struct Taps {
  T* upper_left;
  int64_t row, column;
  bool within[kTaps];

  // Of the channel that begins so far from the first one.
  __device__ __forceinline__ T* at(int k, int64_t channel_offset) const {
    return upper_left + channel_offset + k / 2 * row + k % 2 * column;
  }
};

template <class T, class P>
__device__ __forceinline__ Taps<T> taps_of(const Sampling& sampling, const PixelPlace<P>& place, const Image<T>& image,
                                           int64_t n) {
  Taps<T> taps = {address(image, n, place.y.first, place.x.first), image.row, image.column, {}};
#pragma unroll
  for (int k = 0; k < kTaps; ++k) taps.within[k] = place.has(k / 2, k % 2, sampling.height, sampling.width);
  return taps;
}

template <class P>
struct Weights {
  P value[kTaps];
};

template <class P>
__device__ __forceinline__ Weights<P> weights_of(const PixelPlace<P>& place) {
  return {{place.weight(0, 0), place.weight(0, 1), place.weight(1, 0), place.weight(1, 1)}};
}

// A tap; 0 outside.
template <class T>
__device__ __forceinline__ Wide<T> read_tap(const Taps<const T>& taps, int k, int64_t channel_offset) {
  return taps.within[k] ? widen(*taps.at(k, channel_offset)) : Wide<T>{0};
}

template <class T>
__device__ __forceinline__ Vector<T> read_tap_vector(const Taps<const T>& taps, int k, int64_t channel) {
  if (taps.within[k]) return load_vector(taps.at(k, channel));
  return {};
}

}  // namespace tryon_kernels::cuda
