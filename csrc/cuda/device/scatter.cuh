#pragma once

#include "cuda/device/taps.cuh"

// The gradient of bilinear samples by the image: each output pixel adds shares of its own at its taps.
namespace tryon_kernels::cuda {

constexpr int kScatteredChannels = 8;  // that a thread adds at one pixel, of images whose channels lie apart

// Sums in the wide format.
template <class P>
struct FloatingSums {
  using Number = P;
  Image<P> image;

  __device__ __forceinline__ double read_scale() const { return 1; }
  __device__ __forceinline__ void add(P* at, P share, double) const { atomicAdd(at, share); }
};

enum Unusual { kInfinite = 1, kMinusInfinite = 2, kNotANumber = kInfinite | kMinusInfinite };

// Sums of multiples of 1 / scale, the same in any order of additions. Negative ones are added modulo 2^64.
struct FixedSums {
  using Number = unsigned long long;
  Image<unsigned long long> image;
  int* unusual;  // strides as the image
  const double* scale;

  __device__ __forceinline__ double read_scale() const { return *scale; }

  template <class P>
  __device__ __forceinline__ void add(unsigned long long* at, P share, double scale_read) const {
    const P infinity = static_cast<P>(INFINITY);
    if (share > -infinity && share < infinity) {
      atomicAdd(at, static_cast<unsigned long long>(__double2ll_rn(share * scale_read)));
    } else {
      const int kind = share == infinity ? kInfinite : share == -infinity ? kMinusInfinite : kNotANumber;
      atomicOr(unusual + (at - image.data), kind);
    }
  }
};

template <class Sums, class P>
__device__ __forceinline__ void add_shares(const Sums& sums, const Taps<typename Sums::Number>& taps,
                                           const Weights<P>& weights, double scale, int64_t channel_offset, P grad) {
#pragma unroll
  for (int k = 0; k < kTaps; ++k)
    if (taps.within[k]) sums.add(taps.at(k, channel_offset), weights.value[k] * grad, scale);
}

// For sums whose channels lie together: threads (channel, column, row).
template <class T, class Sums>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    scatter_channels(Image<const T> grad_output, Positions<const Wide<T>> positions, Sums sums, Sampling sampling,
                     Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.z, threadIdx.y);
  if (!pixel.real) return;
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const Taps<typename Sums::Number> taps = taps_of(sampling, place, sums.image, pixel.n);
  const Weights<Wide<T>> weights = weights_of(place);
  const T* grad = address(grad_output, pixel);
  const double scale = sums.read_scale();
  for (int64_t channel = threadIdx.x; channel < sampling.channels; channel += blockDim.x)
    add_shares(sums, taps, weights, scale, channel, widen(grad[channel * grad_output.channel]));
}

// For sums of any strides: threads (column, row).
template <class T, class Sums>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    scatter_planes(Image<const T> grad_output, Positions<const Wide<T>> positions, Sums sums, Sampling sampling,
                   Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.y, threadIdx.x);
  if (!pixel.real) return;
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const ChannelRange channels = channels_of(sampling, tiling);
  Taps<typename Sums::Number> taps = taps_of(sampling, place, sums.image, pixel.n);
  taps.upper_left += channels.first * sums.image.channel;
  const T* grad = address(grad_output, pixel) + channels.first * grad_output.channel;
  const Weights<Wide<T>> weights = weights_of(place);
  const double scale = sums.read_scale();
#pragma unroll 1
  for (int64_t rest = channels.end - channels.first; rest > 0; --rest) {
    add_shares(sums, taps, weights, scale, 0, widen(*grad));
    taps.upper_left += sums.image.channel;
    grad += grad_output.channel;
  }
}

}  // namespace tryon_kernels::cuda
