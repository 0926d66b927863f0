#pragma once

#include <bit>

#include "cuda/device/taps.cuh"
#include "cuda/launch.h"

// From an op on images and positions to blocks of threads that go over output pixels.
namespace tryon_kernels::cuda {

// Of an image, or of its gradient, at positions N x 2 x Ho x Wo.
inline Sampling sampling_of(const Tensor& image, const Tensor& positions, int64_t coordinates, bool border) {
  return {{static_cast<Coordinates>(coordinates), border},
          image.size(0),
          image.size(1),
          static_cast<int>(image.size(2)),
          static_cast<int>(image.size(3)),
          static_cast<int>(positions.size(2)),
          static_cast<int>(positions.size(3))};
}

// Tiles for blocks that have so many threads for each pixel, and serve so many channels, or more where a grid could not
// have the blocks. No tile is wider than the output, and no row of it longer than a warp.
inline Tiling tiling_of(const Sampling& sampling, unsigned pixel_threads, int64_t channels) {
  constexpr unsigned kMostRows = 64;             // as many as a block may have along z
  constexpr int64_t kMostChannelBlocks = 65535;  // as many as a grid may have along y
  const unsigned pixels = std::bit_floor(kSamplingThreads / pixel_threads);
  const unsigned columns = std::min({pixels, kWarp, std::bit_ceil(static_cast<unsigned>(sampling.out_width))});
  const unsigned rows = std::min(pixels / columns, kMostRows);
  return {rows, columns, static_cast<unsigned>(parts(sampling.out_height, rows)),
          static_cast<unsigned>(parts(sampling.out_width, columns)),
          std::max(channels, parts(sampling.channels, kMostChannelBlocks))};
}

inline dim3 grid_of(const Sampling& sampling, const Tiling& tiling) {
  const int64_t tiles = sampling.images * tiling.down * tiling.across;
  STD_TORCH_CHECK(tiles <= INT32_MAX, "positions: got ", tiles, " blocks of pixels, expected ", INT32_MAX, " or fewer");
  return dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(parts(sampling.channels, tiling.channels)));
}

// How many threads share a pixel's numbers or vectors. Where there are more than `kMostLanes`, each has several, and
// about as many as the others.
inline unsigned even_lanes(int64_t count) {
  constexpr int64_t kMostLanes = 64;
  return static_cast<unsigned>(parts(count, parts(count, kMostLanes)));
}

}  // namespace tryon_kernels::cuda
