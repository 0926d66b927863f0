#pragma once

#include <algorithm>

#include "cuda/device/shared.cuh"
#include "cuda/device/tiles.cuh"

// The correlation volume of a map, or of one sampled at positions, with a second one:
//
//   volume[k(dy, dx), y, x] = scale * sum over c of first[c, y, x] * second[c, y + dy, x + dx]
//
// A block computes a tile of pixels and a piece of the window. A thread has one row of `second`, of which it needs 4 +
// 6 columns for the 7 displacements dx of 4 pixels, and multiplies it with kRows neighbouring rows y of `first`. These
// see it at neighbouring dy, so that what is read of either map is used several times from registers:
//
//   reads of 16 bytes           4 kRows + 10
//   multiply-adds of 16 bytes   28 kRows
//
// Threads for all rows of `second` around a group of rows y compute (kRows + 6) kRows pairs, of which 7 kRows are in
// the window. With two rows 7/8 of the multiply-adds count; with one row all do, and there are twice as many blocks.
namespace tryon_kernels::cuda {

constexpr int kPiece = 7;                              // displacements along an axis that a block goes through
constexpr int kPixels = 4;                             // of a row, for each thread
constexpr int kAcross = 4, kDown = 4;                  // threads' pixels in a tile
constexpr int kNeighbours = kPixels + kPiece - 1;      // columns that they see
constexpr int kMultipliedColumns = kAcross * kPixels;  // of a tile
constexpr int kChunkVectors = 2;                       // vectors of channels in shared memory

// Rows of a tile are so far apart that threads two rows apart read from different banks.
template <int kRows>
using FirstTile = Tile<kDown * kRows, kMultipliedColumns, kMultipliedColumns + 2, kPixels, kChunkVectors>;
template <int kRows, int kColumns = kMultipliedColumns + kPiece - 1>
using SecondTile = Tile<kDown * kRows + kPiece - 1, kColumns, kColumns, kPixels, kChunkVectors>;

constexpr int kMultiplyThreads = 128;  // with one row, an eighth of them has nothing to multiply
static_assert(kMultiplyThreads == kAcross * kDown * (kPiece + 1));

// On a multiprocessor, that registers must suffice for.
template <class T>
constexpr int kMultiplyBlocks = std::is_same_v<T, double> ? 3 : 4;

template <class T>
struct Multiplication {
  Map<T> first, second;
  Positions<const Wide<T>> positions;  // of first's samples, where it is sampled
  Placing placing;
  Image<T> volume;
  int side, pieces;  // of the window; pieces of it along an axis
  unsigned tiles_across, tiles_down;
  Wide<T> scale, negative_slope;
};

// A tile's results before they are stored: displacements x pixels, with a gap to read fewer times from one bank.
template <int kRows>
constexpr int kResultPitch = kDown * kRows * kMultipliedColumns + 4;

// Two buffers for a chunk of both maps; then the results are in their place.
template <int kRows>
constexpr int kBufferSize = FirstTile<kRows>::kSize + SecondTile<kRows>::kSize;
template <class T, int kRows>
constexpr int kResultBytes = kPiece * kPiece * kResultPitch<kRows> * int{sizeof(Wide<T>)};
template <class T, int kRows>
constexpr int kMultipliedBytes = std::max(2 * kBufferSize<kRows> * kVectorBytes, kResultBytes<T, kRows>);

// And where the tiles' pixels are in the maps.
template <class T, bool kSampled>
using FirstPixel = std::conditional_t<kSampled, SampledPixel<Wide<T>>, int64_t>;
template <class T, int kRows, bool kSampled>
constexpr int kPlaceBytes = SecondTile<kRows>::kPositions * int{sizeof(int64_t)} +
                            FirstTile<kRows>::kPositions * int{sizeof(FirstPixel<T, kSampled>)};

// A block's image, its tile's upper left pixel and its piece's first displacement, both counted from 0.
struct Part {
  int64_t n;
  int y, x, dy, dx;
};

template <class T>
__device__ __forceinline__ Part multiplied_part(const Multiplication<T>& work, int tile_rows) {
  const unsigned pieces = work.pieces;
  unsigned index = blockIdx.x;
  Part part;
  part.dx = index % pieces * kPiece, index /= pieces;
  part.dy = index % pieces * kPiece, index /= pieces;
  part.x = index % work.tiles_across * kMultipliedColumns, index /= work.tiles_across;
  part.y = index % work.tiles_down * tile_rows;
  part.n = index / work.tiles_down;
  return part;
}

// A thread's place in its block: the first of its rows and columns in the tile, and how far below its row of `second`
// begins. Neighbouring threads are two rows apart.
template <int kRows>
struct MultiplyThread {
  int row, column, below;
};

template <int kRows>
__device__ __forceinline__ MultiplyThread<kRows> multiply_thread() {
  const int thread = threadIdx.x, down = thread / kAcross % kDown;
  const int row = kRows == 1 ? down % 2 * 2 + down / 2 : down * kRows;
  return {row, thread % kAcross * kPixels, thread / (kAcross * kDown)};
}

// sums[row][dx][pixel] grows by the products of one chunk's channels.
template <class T, int kRows>
__device__ __forceinline__ void multiply_chunk(const MultiplyThread<kRows>& thread, const Channels<T>* first,
                                               const Channels<T>* second, Wide<T> (&sums)[kRows][kPiece][kPixels]) {
  using First = FirstTile<kRows>;
  using Second = SecondTile<kRows>;
  first += First::slot(thread.row, 0) + thread.column / kPixels;
  second += Second::slot(thread.row + thread.below, 0) + thread.column / kPixels;
#pragma unroll 1
  for (int vector = 0; vector < kChunkVectors; ++vector, first += First::kPlane, second += Second::kPlane) {
    Channels<T> centres[kRows][kPixels];
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int i = 0; i < kPixels; ++i) centres[row][i] = first[First::slot(row, i)];
    }
#pragma unroll
    for (int j = 0; j < kNeighbours; ++j) {
      const Channels<T> neighbour = second[Second::slot(0, j)];
#pragma unroll
      for (int l = 0; l < kLanes<T>; ++l) {
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
#pragma unroll
          for (int i = 0; i < kPixels; ++i) {
            const int dx = j - i;
            if (dx >= 0 && dx < kPiece) sums[row][dx][i] += centres[row][i].value[l] * neighbour.value[l];
          }
        }
      }
    }
  }
}

// Sums of a thread to the tile's results.
template <class T, int kRows>
__device__ __forceinline__ void collect(const MultiplyThread<kRows>& thread,
                                        const Wide<T> (&sums)[kRows][kPiece][kPixels], Wide<T>* results) {
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const int dy = thread.below - row;
    if (dy < 0 || dy >= kPiece) continue;
    Wide<T>* to = results + dy * kPiece * kResultPitch<kRows> + (thread.row + row) * kMultipliedColumns + thread.column;
#pragma unroll
    for (int dx = 0; dx < kPiece; ++dx) {
#pragma unroll
      for (int i = 0; i < kPixels; i += kLanes<T>) {
        Channels<T> pixels;
#pragma unroll
        for (int l = 0; l < kLanes<T>; ++l) pixels.value[l] = sums[row][dx][i + l];
        store_vector(to + dx * kResultPitch<kRows> + i, pixels);
      }
    }
  }
}

// Threads go along what lies together in the volume.
template <class T, int kRows>
__device__ __forceinline__ void store_volume(const Multiplication<T>& work, const Part& part, const Wide<T>* results) {
  constexpr int kDisplacements = kPiece * kPiece, kTilePixels = kDown * kRows * kMultipliedColumns;
  const Image<T>& volume = work.volume;
  T* const tile = volume.data + part.n * volume.image + (int64_t{part.dy} * work.side + part.dx) * volume.channel +
                  part.y * volume.row + part.x * volume.column;
  const auto store = [&](int displacement, int pixel) {
    const int dy = displacement / kPiece, dx = displacement % kPiece;
    const int y = pixel / kMultipliedColumns, x = pixel % kMultipliedColumns;
    const bool inside = part.y + y < work.second.height && part.x + x < work.second.width;
    if (part.dy + dy >= work.side || part.dx + dx >= work.side || !inside) return;
    const Wide<T> value = results[displacement * kResultPitch<kRows> + pixel] * work.scale;
    T* const of_pixel = tile + y * volume.row + x * volume.column;
    of_pixel[(int64_t{dy} * work.side + dx) * volume.channel] =
        narrow<T>(value > 0 ? value : value * work.negative_slope);
  };
  if (volume.channel == 1) {
    share_out<kDisplacements, kTilePixels, kMultiplyThreads>(store);
  } else {
    share_out<kTilePixels, kDisplacements, kMultiplyThreads>(
        [&](int pixel, int displacement) { store(displacement, pixel); });
  }
}

// While a chunk of channels is multiplied, the next one is copied: one barrier for each lies between what is read and
// what is written. The first of them comes after the tiles' pixels are placed.
template <class T, int kRows, class Source>
__device__ __forceinline__ void multiply_channels(const Source& centres, const Pixels<T>& around, Channels<T>* buffers,
                                                  const MultiplyThread<kRows>& thread,
                                                  Wide<T> (&sums)[kRows][kPiece][kPixels]) {
  using First = FirstTile<kRows>;
  using Second = SecondTile<kRows>;
  constexpr int kChunk = kChunkVectors * kLanes<T>;
  const int channels = around.map.channels;
  const bool has_row = thread.below < kPiece + kRows - 1;
  Channels<T>*current = buffers, *next = buffers + kBufferSize<kRows>;
#pragma unroll 1
  for (int channel = 0; channel < channels + kChunk; channel += kChunk) {
    __pipeline_wait_prior(0);
    __syncthreads();
    if (channel < channels) {
      fill<First, kMultiplyThreads, T>(centres, channel, next);
      fill<Second, kMultiplyThreads, T>(around, channel, next + First::kSize);
      __pipeline_commit();
    }
    if (channel > 0 && has_row) multiply_chunk<T>(thread, current, current + First::kSize, sums);
    Channels<T>* const multiplied = current;
    current = next, next = multiplied;
  }
  __syncthreads();
}

template <class T, int kRows, bool kSampled>
__global__ void __launch_bounds__(kMultiplyThreads, kMultiplyBlocks<T>) multiply_tile(Multiplication<T> work) {
  using First = FirstTile<kRows>;
  using Second = SecondTile<kRows>;
  unsigned char* const shared = dynamic_shared<unsigned char>();
  auto* const buffers = reinterpret_cast<Channels<T>*>(shared);
  auto* const second_pixels = reinterpret_cast<int64_t*>(shared + kMultipliedBytes<T, kRows>);
  auto* const first_pixels = reinterpret_cast<FirstPixel<T, kSampled>*>(second_pixels + Second::kPositions);
  const Part part = multiplied_part(work, First::kRows);
  const MultiplyThread<kRows> thread = multiply_thread<kRows>();
  const Map<T> first = work.first.of_image(part.n), second = work.second.of_image(part.n);
  const int radius = work.side / 2;
  const Window<T> around = {second, part.y + part.dy - radius, part.x + part.dx - radius};
  place_pixels<Second, kMultiplyThreads>(around, second_pixels);
  Wide<T> sums[kRows][kPiece][kPixels] = {};
  if constexpr (kSampled) {
    place_samples<First, kMultiplyThreads>(first, work.positions, work.placing, part.n,
                                           Window<T>{second, part.y, part.x}, first_pixels);
    __syncthreads();
    multiply_channels(Samples<T>{first, first_pixels}, Pixels<T>{second, second_pixels}, buffers, thread, sums);
  } else {
    place_pixels<First, kMultiplyThreads>(Window<T>{first, part.y, part.x}, first_pixels);
    multiply_channels(Pixels<T>{first, first_pixels}, Pixels<T>{second, second_pixels}, buffers, thread, sums);
  }
  auto* const results = reinterpret_cast<Wide<T>*>(shared);
  collect<T>(thread, sums, results);
  __syncthreads();
  store_volume<T, kRows>(work, part, results);
}

}  // namespace tryon_kernels::cuda
