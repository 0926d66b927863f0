#pragma once

#include "cuda/device/taps.cuh"

// The gradient of bilinear samples by the image, in one order: each pixel of the image gathers from the four cells
// around it (tryon_kernels/gpu/cells.py). No two threads write the same place.
namespace tryon_kernels::cuda {

constexpr int kChunk = 64;            // as in tryon_kernels/gpu/kernels.py
constexpr int kGatheredChannels = 8;  // that a thread adds up for one pixel, of gradients whose channels lie apart

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

// The output pixels of a cell: the first rank, the first chunk from there on, how many chunks are whole, and how many
// pixels are not in these.
struct CellRanks {
  int start, chunk, whole, beside;

  // Of the k-th pixel that is not in a whole chunk.
  __device__ __forceinline__ int rank(int k) const {
    return start + k + (start + k >= chunk * kChunk ? whole * kChunk : 0);
  }
};

__device__ __forceinline__ CellRanks ranks_of(const int* starts, int64_t cell) {
  const int start = starts[cell], end = starts[cell + 1];
  const int chunk = (start + kChunk - 1) / kChunk, whole = max(end / kChunk - chunk, 0);
  return {start, chunk, whole, end - start - whole * kChunk};
}

// The four cells around a pixel of the image, by which of their taps it is.
struct CellsAround {
  CellRanks cell[kTaps];
  int most_beside = 0, most_whole = 0;

  __device__ __forceinline__ CellsAround(const int* starts, const Pixel& pixel, int height, int width) {
    const int64_t lower_right = (pixel.n * (height + 1) + pixel.y + 1) * (width + 1) + pixel.x + 1;
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      cell[tap] = ranks_of(starts, lower_right - tap / 2 * (width + 1) - tap % 2);
      most_beside = max(most_beside, cell[tap].beside);
      most_whole = max(most_whole, cell[tap].whole);
    }
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
#pragma unroll 1
  for (int k = 0; k < around.most_beside; ++k) {
    // All is asked for before the first of it is used.
    bool real[kTaps];
    P weight[kTaps] = {};
    int2 place[kTaps] = {};
    typename Read::Numbers grad[kTaps] = {};
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      real[tap] = k < around.cell[tap].beside;
      if (real[tap]) {
        const int rank = around.cell[tap].rank(k);
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
#pragma unroll 1
  for (int k = 0; k < around.most_whole; ++k) {
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      if (k < around.cell[tap].whole) {
        const int64_t row = int64_t{around.cell[tap].chunk + k} * kTaps + tap;
        const P* sums = samples.sums + row * sampling.channels + channel;
#pragma unroll
        for (int i = 0; i < Read::kCount; ++i)
          if (read.has(i)) total[i] += sums[i];
      }
    }
  }
}

// For gradients whose channels lie together: threads (vector of channels, column, row), of the image.
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
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
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
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
