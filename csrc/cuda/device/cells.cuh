#pragma once

#include "cuda/device/taps.cuh"

// The gradient of bilinear samples by the image, in one order: each pixel of the image gathers from the four cells
// around it (tryon_kernels/gpu/cells.py). No two threads write the same place.
namespace tryon_kernels::cuda {

constexpr int kChunk = 64;                // as in tryon_kernels/gpu/kernels.py
constexpr unsigned kGatheringBlocks = 3;  // that registers must suffice for: 80 for a thread, which has 4 reads open
constexpr int kGatheredChannels = 8;      // that a thread adds up for one pixel, of gradients whose channels lie apart

// Where in its cell an output pixel's position lies: of the way to the right and of that down.
template <class P>
struct alignas(2 * sizeof(P)) Fractions {
  P u, v;

  __device__ __forceinline__ P weight(int tap) const { return (tap / 2 ? v : 1 - v) * (tap % 2 ? u : 1 - u); }
};

// Output pixels, sorted by their cells: the cells' first ranks; fractions, and (column, row) of each pixel; and sums
// of whole chunks, chunks x 4 x channels.
template <class P>
struct SortedSamples {
  const int* starts;
  const Fractions<P>* fractions;
  const int2* places;
  const P* sums;
};

// Threads: output pixels.
template <class P>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    find_cells(Positions<const P> positions, int* cells, Fractions<P>* fractions, int count, int outside,
               Sampling sampling) {
  const unsigned pixel = blockIdx.x * blockDim.x + threadIdx.x;
  if (pixel >= static_cast<unsigned>(count)) return;
  const unsigned row = pixel / sampling.out_width, n = row / sampling.out_height;
  const int y = row - n * sampling.out_height, x = pixel - row * sampling.out_width;
  const PixelPlace<P> place = place_pixel(sampling.placing, positions, n, y, x, sampling.height, sampling.width);
  const int top = place.y.first, left = place.x.first;
  const bool within = top >= -1 && top < sampling.height && left >= -1 && left < sampling.width;
  cells[pixel] = within ? (n * (sampling.height + 1) + top + 1) * (sampling.width + 1) + left + 1 : outside;
  fractions[pixel] = {place.x.fraction, place.y.fraction};
}

// Blocks: chunks, and channels; threads: ranks of a chunk, and then channels.
template <class T>
__global__ void __launch_bounds__(kChunk)
    order_samples(Image<const T> grad_output, const int* cells, const int64_t* order,
                  const Fractions<Wide<T>>* fractions, Fractions<Wide<T>>* ordered_fractions, int2* places,
                  Wide<T>* sums, int count, int outside, Sampling sampling) {
  using P = Wide<T>;
  __shared__ Fractions<P> chunk_fractions[kChunk];
  __shared__ const T* grads[kChunk];
  const unsigned first = blockIdx.x * kChunk, rank = first + threadIdx.x, size = count;
  if (rank < size) {
    const unsigned pixel = order[rank], row = pixel / sampling.out_width, n = row / sampling.out_height;
    const int y = row - n * sampling.out_height, x = pixel - row * sampling.out_width;
    chunk_fractions[threadIdx.x] = fractions[pixel];
    grads[threadIdx.x] = address(grad_output, n, y, x);
    if (blockIdx.y == 0) {
      ordered_fractions[rank] = fractions[pixel];
      places[rank] = make_int2(x, y);
    }
  }
  if (first + kChunk > size || cells[first] != cells[first + kChunk - 1] || cells[first] == outside) return;
  __syncthreads();
  for (int64_t channel = int64_t{blockIdx.y} * kChunk + threadIdx.x; channel < sampling.channels;
       channel += int64_t{gridDim.y} * kChunk) {
    P total[kTaps] = {};
#pragma unroll 8
    for (int i = 0; i < kChunk; ++i) {
      const P grad = widen(grads[i][channel * grad_output.channel]);
#pragma unroll
      for (int tap = 0; tap < kTaps; ++tap) total[tap] += chunk_fractions[i].weight(tap) * grad;
    }
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap)
      sums[(int64_t{blockIdx.x} * kTaps + tap) * sampling.channels + channel] = total[tap];
  }
}

// The sorted output pixels of a cell: from a rank to before another.
struct CellRanks {
  int start, end;

  __device__ __forceinline__ int first_chunk() const { return (start + kChunk - 1) / kChunk; }
  __device__ __forceinline__ int whole_chunks() const { return max(end / kChunk - first_chunk(), 0); }
  // Pixels that are not in whole chunks, and the rank of the k-th of them.
  __device__ __forceinline__ int beside() const { return end - start - whole_chunks() * kChunk; }
  __device__ __forceinline__ int rank(int k) const {
    const int rank = start + k;
    return rank >= first_chunk() * kChunk ? rank + whole_chunks() * kChunk : rank;
  }
};

// The four cells around a pixel of the image, by which of their taps it is. Two of a row follow each other.
struct CellsAround {
  int starts[2][3];

  __device__ __forceinline__ CellsAround(const int* all, const Pixel& pixel, int height, int width) {
    const int* upper_left = all + (pixel.n * (height + 1) + pixel.y) * (width + 1) + pixel.x;
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      starts[0][i] = upper_left[i];
      starts[1][i] = upper_left[width + 1 + i];
    }
  }

  __device__ __forceinline__ CellRanks of_tap(int tap) const {
    const int row = 1 - tap / 2, column = 1 - tap % 2;
    return {starts[row][column], starts[row][column + 1]};
  }
};

// Reads channels that lie together, 16 bytes at a time.
template <class T>
struct ReadTogether {
  static constexpr int kCount = kVector<T>;
  using Numbers = Vector<T>;

  __device__ __forceinline__ bool has(int) const { return true; }
  __device__ __forceinline__ Numbers operator()(const T* from) const { return load_vector(from); }
};

// Reads channels that lie apart, a few at a time; 0 beyond the last one.
template <class T>
struct ReadApart {
  static constexpr int kCount = kVector<Wide<T>>;
  struct Numbers {
    T value[kCount];
  };
  int64_t step, rest;

  __device__ __forceinline__ bool has(int i) const { return i < rest; }
  __device__ __forceinline__ Numbers operator()(const T* from) const {
    Numbers numbers = {};
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (has(i)) numbers.value[i] = from[i * step];
    return numbers;
  }
};

// Adds up what the cells around a pixel give to it, in the channels from one on. `grads` is where the output's
// gradient of the image has this channel.
template <class T, class Read>
__device__ __forceinline__ void add_cells(const CellsAround& around, const SortedSamples<Wide<T>>& samples,
                                          const Sampling& sampling, const Image<const T>& grad_output, const T* grads,
                                          int64_t channel, const Read& read, Wide<T> (&total)[Read::kCount]) {
  using P = Wide<T>;
  int most = 0;
#pragma unroll
  for (int tap = 0; tap < kTaps; ++tap) most = max(most, around.of_tap(tap).beside());
#pragma unroll 1
  for (int k = 0; k < most; ++k) {
    // All is asked for before the first of it is used.
    bool real[kTaps];
    P weight[kTaps] = {};
    int2 place[kTaps] = {};
    typename Read::Numbers grad[kTaps] = {};
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      real[tap] = k < around.of_tap(tap).beside();
      if (real[tap]) {
        const int rank = around.of_tap(tap).rank(k);
        place[tap] = samples.places[rank];
        weight[tap] = samples.fractions[rank].weight(tap);
      }
    }
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap)
      if (real[tap]) grad[tap] = read(grads + place[tap].y * grad_output.row + place[tap].x * grad_output.column);
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
#pragma unroll
      for (int i = 0; i < Read::kCount; ++i) total[i] += weight[tap] * widen(grad[tap].value[i]);
    }
  }
#pragma unroll
  for (int tap = 0; tap < kTaps; ++tap) {
    const CellRanks cell = around.of_tap(tap);
    const int whole = cell.whole_chunks();
#pragma unroll 1
    for (int k = 0; k < whole; ++k) {
      const int64_t row = int64_t{cell.first_chunk() + k} * kTaps + tap;
      const P* sums = samples.sums + row * sampling.channels + channel;
#pragma unroll
      for (int i = 0; i < Read::kCount; ++i)
        if (read.has(i)) total[i] += sums[i];
    }
  }
}

// For gradients whose channels lie together: threads (vector of channels, column, row), of the image.
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kGatheringBlocks)
    sum_cells_vectors(Image<const T> grad_output, SortedSamples<Wide<T>> samples, Image<T> gradient, Sampling sampling,
                      Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.z, threadIdx.y);
  if (!pixel.real) return;
  const CellsAround around(samples.starts, pixel, sampling.height, sampling.width);
  const T* grads = grad_output.data + pixel.n * grad_output.image;
  T* to = address(gradient, pixel);
#pragma unroll 1
  for (int64_t channel = int64_t{threadIdx.x} * kVector<T>; channel < sampling.channels;
       channel += int64_t{blockDim.x} * kVector<T>) {
    Wide<T> total[kVector<T>] = {};
    add_cells(around, samples, sampling, grad_output, grads + channel, channel, ReadTogether<T>{}, total);
    Vector<T> rounded;
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) rounded.value[i] = narrow<T>(total[i]);
    store_vector_globally(to + channel, rounded);
  }
}

// For gradients of any strides: threads (column, row), of the image.
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kGatheringBlocks)
    sum_cells_planes(Image<const T> grad_output, SortedSamples<Wide<T>> samples, Image<T> gradient, Sampling sampling,
                     Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.y, threadIdx.x);
  if (!pixel.real) return;
  const CellsAround around(samples.starts, pixel, sampling.height, sampling.width);
  const T* grads = grad_output.data + pixel.n * grad_output.image;
  T* to = address(gradient, pixel);
  const ChannelRange channels = channels_of(sampling, tiling);
#pragma unroll 1
  for (int64_t channel = channels.first; channel < channels.end; channel += ReadApart<T>::kCount) {
    const ReadApart<T> read = {grad_output.channel, channels.end - channel};
    Wide<T> total[ReadApart<T>::kCount] = {};
    add_cells(around, samples, sampling, grad_output, grads + channel * grad_output.channel, channel, read, total);
#pragma unroll
    for (int i = 0; i < ReadApart<T>::kCount; ++i)
      if (read.has(i)) to[(channel + i) * gradient.channel] = narrow<T>(total[i]);
  }
}

}  // namespace tryon_kernels::cuda
