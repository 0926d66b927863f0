#pragma once

#include <algorithm>

#include "cuda/device/shared.cuh"
#include "cuda/device/tiles.cuh"

// The gradient of either map of a correlation, which is a weighted sum of the other map's neighbours:
//
//   gradient[c, y, x] = scale * sum over dy, dx of w[dy, dx, y, x] * other[c, y + dy, x + dx]
//
//   of first    w[dy, dx, y, x] = G[k(dy, dx), y, x]
//   of second   w[dy, dx, y, x] = G[k(-dy, -dx), y + dy, x + dx], 0 outside
//
// with G the volume's gradient, times the negative slope where the volume is not positive. A block computes a tile of
// pixels in some chunks of channels. The window's weights stay in shared memory while chunk after chunk of `other` is
// brought there; a window larger than a piece is worked through piece by piece. A thread has 2 rows of 4 pixels and one
// vector of channels; a row of `other` serves both rows, at neighbouring dy:
//
//   reads of 16 bytes           10 of `other` and 2 * 7 of weights
//   multiply-adds of 16 bytes   2 * 7 * 4
//
// All threads of a quarter of a warp read the same weights. Half of the threads take every other row of `other`: the
// shared memory of a block then serves twice as many threads. The two sums are added in the end, always in this order.
namespace tryon_kernels::cuda {

constexpr int kGatherPiece = 7;   // displacements along an axis that are worked through at a time
constexpr int kGatherRows = 2;    // of a thread
constexpr int kGatherPixels = 4;  // of each row
constexpr int kGatherTile = 8;    // pixels along an axis
constexpr int kGatherVectors = 8;
constexpr int kGatherHalves = 2;
constexpr int kTilePixels = kGatherTile * kGatherTile;
constexpr int kPixelGroups = kTilePixels / (kGatherRows * kGatherPixels);
constexpr int kGatherThreads = kGatherVectors * kPixelGroups * kGatherHalves;

constexpr int kOtherSide = kGatherTile + kGatherPiece - 1;
using OtherTile = Tile<kOtherSide, kOtherSide, kOtherSide, 1, kGatherVectors>;
// Sums of a thread's channels, in the place of `other`.
using SumTile = Tile<kGatherTile, kGatherTile, kGatherTile, 1, kGatherVectors>;

constexpr int kWeightPitch = kTilePixels + 4;  // a gap, so that different displacements are in different banks
constexpr int kWeights = kGatherPiece * kGatherPiece * kWeightPitch;
template <class T>
constexpr int kGatherChunk = kGatherVectors * kLanes<T>;
template <class T>
constexpr int kGatheredBytes = OtherTile::kSize * kVectorBytes + kWeights * int{sizeof(Wide<T>)};
// Where the tile's pixels are.
template <class T, bool kSampled>
using OtherPixel = std::conditional_t<kSampled, SampledPixel<Wide<T>>, int64_t>;
template <class T, bool kSampled>
constexpr int kOtherPlaceBytes = OtherTile::kPositions * int{sizeof(OtherPixel<T, kSampled>)};

// On a multiprocessor, that registers must suffice for.
template <class T>
constexpr int kGatherBlocks = std::is_same_v<T, double> ? 3 : 4;

template <class T>
struct Gathering {
  Image<const T> grad_volume, volume;  // the latter has no data where there is no negative slope
  Map<T> other;
  Positions<const Wide<T>> positions;  // of other's samples, where it is sampled
  Placing placing;
  Image<T> gradient;
  int height, width, side;
  bool mirrored;
  unsigned tiles_across, tiles_down, blocks_of_tile;
  int chunks_of_block;
  Wide<T> scale, negative_slope;
};

// A block's image, its tile's upper left pixel and its channels.
struct GatheredPart {
  int64_t n;
  int y, x, channel, end;
};

template <class T>
__device__ __forceinline__ GatheredPart gathered_part(const Gathering<T>& work) {
  unsigned index = blockIdx.x;
  GatheredPart part;
  part.channel = index % work.blocks_of_tile * work.chunks_of_block * kGatherChunk<T>, index /= work.blocks_of_tile;
  part.x = index % work.tiles_across * kGatherTile, index /= work.tiles_across;
  part.y = index % work.tiles_down * kGatherTile;
  part.n = index / work.tiles_down;
  const int end = part.channel + work.chunks_of_block * kGatherChunk<T>;
  part.end = end < work.other.channels ? end : work.other.channels;
  return part;
}

// A piece of the window: its first displacement, counted from 0, and how many there are.
struct Piece {
  int dy, dx, rows, columns;
};

__device__ __forceinline__ Piece piece_at(int side, int dy, int dx) {
  const int rows = side - dy, columns = side - dx;
  return {dy, dx, rows < kGatherPiece ? rows : kGatherPiece, columns < kGatherPiece ? columns : kGatherPiece};
}

// The value of a volume that pixel (y, x) needs for each displacement: steps from one displacement to the next.
// Mirrored, both the pixel and its channel are others: at (y + dy, x + dx) the displacement is (-dy, -dx).
template <class T>
struct VolumeWalk {
  const T* start;
  int64_t row, column, down, right;

  __device__ __forceinline__ const T* at(int y, int x) const { return start + y * row + x * column; }
  __device__ __forceinline__ int64_t step(int dy, int dx) const { return dy * down + dx * right; }
};

template <class T>
__device__ __forceinline__ VolumeWalk<T> walk_through(const Image<const T>& volume, int64_t n, int64_t side,
                                                      bool mirrored) {
  const T* const image = volume.data + n * volume.image;
  if (!mirrored) return {image, volume.row, volume.column, side * volume.channel, volume.channel};
  const int64_t radius = side / 2, last = side * side - 1;
  return {image + last * volume.channel - radius * (volume.row + volume.column), volume.row, volume.column,
          volume.row - side * volume.channel, volume.column - volume.channel};
}

// Of the volume's gradient and of the volume. They are kept in shared memory: in registers, which are for sums, they
// would stay throughout.
template <class T>
struct VolumeWalks {
  VolumeWalk<T> gradient, sign;
};

// Threads go along what lies together in the volume. Displacements beyond the piece have no weights.
template <class T>
__device__ __forceinline__ void fill_weights(const Gathering<T>& work, const GatheredPart& part, const Piece& piece,
                                             const VolumeWalks<T>& walks, Wide<T>* weights) {
  const int reach = work.mirrored ? work.side / 2 : 0;
  const VolumeWalk<T> gradient = walks.gradient, sign = walks.sign;
  const auto fill = [&](int displacement, int pixel) {
    const int dy = piece.dy + displacement / kGatherPiece, dx = piece.dx + displacement % kGatherPiece;
    const int y = part.y + pixel / kGatherTile, x = part.x + pixel % kGatherTile;
    const int at_y = work.mirrored ? y + dy - reach : y, at_x = work.mirrored ? x + dx - reach : x;
    const bool inside = at_y >= 0 && at_y < work.height && at_x >= 0 && at_x < work.width;
    Wide<T> weight = 0;
    if (dy < work.side && dx < work.side && inside) {
      weight = widen(gradient.at(y, x)[gradient.step(dy, dx)]);
      if (work.volume.data && !(widen(sign.at(y, x)[sign.step(dy, dx)]) > 0)) weight *= work.negative_slope;
    }
    weights[displacement * kWeightPitch + pixel] = weight;
  };
  if (work.grad_volume.channel == 1) {
    share_out<kGatherPiece * kGatherPiece, kTilePixels, kGatherThreads>(fill);
  } else {
    share_out<kTilePixels, kGatherPiece * kGatherPiece, kGatherThreads>(
        [&](int pixel, int displacement) { fill(displacement, pixel); });
  }
}

// A thread's vector of channels, the first of its pixels in the tile, and which rows of `other` it takes.
struct GatherThread {
  int vector, row, column, half;
};

__device__ __forceinline__ GatherThread gather_thread() {
  constexpr int kAcrossTile = kGatherTile / kGatherPixels;
  const int thread = threadIdx.x, group = thread / kGatherVectors % kPixelGroups;
  return {thread % kGatherVectors, group / kAcrossTile * kGatherRows, group % kAcrossTile * kGatherPixels,
          thread / (kGatherVectors * kPixelGroups)};
}

template <class T>
using Sums = Channels<T>[kGatherRows][kGatherPixels];

// Adds one row of `other`, times the weights of the thread's rows that see it in the piece. Products with displacements
// beyond the piece are left out, for there 0 times infinity would be no number.
template <class T>
__device__ __forceinline__ void gather_row(const Piece& piece, int below, const Channels<T>* neighbours,
                                           const Wide<T>* weights, Sums<T>& sums) {
  Channels<T> seen[kGatherPixels];  // a window that slides along the row
#pragma unroll
  for (int i = 0; i + 1 < kGatherPixels; ++i) seen[i] = neighbours[i];
#pragma unroll
  for (int dx = 0; dx < kGatherPiece; ++dx) {
    if (dx >= piece.columns) break;
    seen[(dx + kGatherPixels - 1) % kGatherPixels] = neighbours[dx + kGatherPixels - 1];
#pragma unroll
    for (int row = 0; row < kGatherRows; ++row) {
      const int dy = below - row;
      if (dy < 0 || dy >= piece.rows) continue;
      const Wide<T>* const from = weights + (dy * kGatherPiece + dx) * kWeightPitch + row * kGatherTile;
#pragma unroll
      for (int i = 0; i < kGatherPixels; i += kLanes<T>) {
        const Channels<T> weight = load_vector(from + i);
#pragma unroll
        for (int k = 0; k < kLanes<T>; ++k) {
#pragma unroll
          for (int l = 0; l < kLanes<T>; ++l)
            sums[row][i + k].value[l] += weight.value[k] * seen[(dx + i + k) % kGatherPixels].value[l];
        }
      }
    }
  }
}

template <class T>
__device__ __forceinline__ void gather_piece(const Piece& piece, const GatherThread& thread, const Channels<T>* other,
                                             const Wide<T>* weights, Sums<T>& sums) {
  other += thread.vector * OtherTile::kPlane + OtherTile::slot(thread.row, thread.column);
  weights += thread.row * kGatherTile + thread.column;
#pragma unroll 1
  for (int below = thread.half; below < piece.rows + kGatherRows - 1; below += kGatherHalves)
    gather_row<T>(piece, below, other + OtherTile::slot(below, 0), weights, sums);
}

// The sums of both halves of the threads, in the tile.
template <class T>
__device__ __forceinline__ void add_halves(const GatherThread& thread, const Sums<T>& sums, Channels<T>* tile) {
#pragma unroll
  for (int half = kGatherHalves - 1; half >= 0; --half) {
    if (thread.half == half) {
#pragma unroll
      for (int row = 0; row < kGatherRows; ++row) {
#pragma unroll
        for (int i = 0; i < kGatherPixels; ++i) {
          Channels<T>& to = tile[thread.vector * SumTile::kPlane + SumTile::slot(thread.row + row, thread.column + i)];
          Channels<T> total = sums[row][i];
          if (half + 1 < kGatherHalves) {
#pragma unroll
            for (int l = 0; l < kLanes<T>; ++l) total.value[l] += to.value[l];
          }
          to = total;
        }
      }
    }
    __syncthreads();
  }
}

// Threads go along what lies together in the gradient.
template <class T>
__device__ __forceinline__ void store_gradient(const Gathering<T>& work, const GatheredPart& part, int channel,
                                               const Channels<T>* tile) {
  const Image<T>& gradient = work.gradient;
  T* const to = gradient.data + part.n * gradient.image + channel * gradient.channel + part.y * gradient.row +
                part.x * gradient.column;
  const auto store = [&](int lane, int pixel) {
    const int row = pixel / kGatherTile, column = pixel % kGatherTile;
    if (part.y + row >= work.height || part.x + column >= work.width || channel + lane >= part.end) return;
    const Channels<T>& sums = tile[lane / kLanes<T> * SumTile::kPlane + SumTile::slot(row, column)];
    T* const of_pixel = to + row * gradient.row + column * gradient.column;
    of_pixel[lane * gradient.channel] = narrow<T>(sums.value[lane % kLanes<T>] * work.scale);
  };
  if (gradient.channel == 1) {
    share_out<kGatherChunk<T>, kTilePixels, kGatherThreads>(store);
  } else {
    share_out<kTilePixels, kGatherChunk<T>, kGatherThreads>([&](int pixel, int lane) { store(lane, pixel); });
  }
}

// What of a piece is the same for all channels: its weights, and where the pixels of `other` are.
template <class T, bool kSampled>
__device__ __forceinline__ void prepare_piece(const Gathering<T>& work, const GatheredPart& part, const Piece& piece,
                                              const Map<T>& other, const VolumeWalks<T>& walks, Wide<T>* weights,
                                              OtherPixel<T, kSampled>* pixels) {
  const int radius = work.side / 2;
  Window<T> around = {other, part.y + piece.dy - radius, part.x + piece.dx - radius};
  around.map.height = work.height, around.map.width = work.width;  // what is sampled is as large as the gradient
  if constexpr (kSampled) {
    place_samples<OtherTile, kGatherThreads>(other, work.positions, work.placing, part.n, around, pixels);
  } else {
    place_pixels<OtherTile, kGatherThreads>(around, pixels);
  }
  fill_weights(work, part, piece, walks, weights);
  __syncthreads();
}

template <class T, bool kSampled>
__global__ void __launch_bounds__(kGatherThreads, kGatherBlocks<T>) gather_tile(Gathering<T> work) {
  using Source = std::conditional_t<kSampled, Samples<T>, Pixels<T>>;
  Channels<T>* const tile = dynamic_shared<Channels<T>>();
  auto* const weights = reinterpret_cast<Wide<T>*>(tile + OtherTile::kSize);
  auto* const pixels = reinterpret_cast<OtherPixel<T, kSampled>*>(weights + kWeights);
  const GatheredPart part = gathered_part(work);
  const GatherThread thread = gather_thread();
  const Source other = {work.other.of_image(part.n), pixels};
  __shared__ VolumeWalks<T> walks;
  if (threadIdx.x == 0) {
    walks.gradient = walk_through(work.grad_volume, part.n, work.side, work.mirrored);
    walks.sign = walk_through(work.volume, part.n, work.side, work.mirrored);
  }
  __syncthreads();
#pragma unroll 1
  for (int channel = part.channel; channel < part.end; channel += kGatherChunk<T>) {
    Sums<T> sums = {};
#pragma unroll 1
    for (int dy = 0; dy < work.side; dy += kGatherPiece) {
#pragma unroll 1
      for (int dx = 0; dx < work.side; dx += kGatherPiece) {
        const Piece piece = piece_at(work.side, dy, dx);
        if (channel == part.channel || work.side > kGatherPiece)
          prepare_piece<T, kSampled>(work, part, piece, other.map, walks, weights, pixels);
        fill<OtherTile, kGatherThreads, T>(other, channel, tile);
        __pipeline_commit();
        __pipeline_wait_prior(0);
        __syncthreads();
        gather_piece<T>(piece, thread, tile, weights, sums);
        __syncthreads();
      }
    }
    add_halves<T>(thread, sums, tile);
    store_gradient(work, part, channel, tile);
    __syncthreads();
  }
}

}  // namespace tryon_kernels::cuda
