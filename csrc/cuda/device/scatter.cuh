#pragma once

#include "cuda/device/taps.cuh"

// The gradient of bilinear samples by the image, in whichever order: each output pixel adds shares of its own at its
// taps.
namespace tryon_kernels::cuda {

constexpr int kScatteredChannels = 8;  // that a thread adds at one pixel, of images whose channels lie apart

template <class P>
__device__ __forceinline__ void add_shares(const Taps<P>& taps, const Weights<P>& weights, int64_t channel_offset,
                                           P grad) {
#pragma unroll
  for (int k = 0; k < kTaps; ++k)
    if (taps.within[k]) atomicAdd(taps.at(k, channel_offset), weights.value[k] * grad);
}

// For sums whose channels lie together: threads (channel, column, row).
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    scatter_channels(Image<const T> grad_output, Positions<const Wide<T>> positions, Image<Wide<T>> sums,
                     Sampling sampling, Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.z, threadIdx.y);
  if (!pixel.real) return;
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const Taps<Wide<T>> taps = taps_of(sampling, place, sums, pixel.n);
  const Weights<Wide<T>> weights = weights_of(place);
  const T* grad = address(grad_output, pixel);
  for (int64_t channel = threadIdx.x; channel < sampling.channels; channel += blockDim.x)
    add_shares(taps, weights, channel, widen(grad[channel * grad_output.channel]));
}

// For sums of any strides: threads (column, row).
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    scatter_planes(Image<const T> grad_output, Positions<const Wide<T>> positions, Image<Wide<T>> sums,
                   Sampling sampling, Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.y, threadIdx.x);
  if (!pixel.real) return;
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const ChannelRange channels = channels_of(sampling, tiling);
  Taps<Wide<T>> taps = taps_of(sampling, place, sums, pixel.n);
  taps.upper_left += channels.first * sums.channel;
  const T* grad = address(grad_output, pixel) + channels.first * grad_output.channel;
  const Weights<Wide<T>> weights = weights_of(place);
#pragma unroll 1
  for (int64_t rest = channels.end - channels.first; rest > 0; --rest) {
    add_shares(taps, weights, 0, widen(*grad));
    taps.upper_left += sums.channel;
    grad += grad_output.channel;
  }
}

}  // namespace tryon_kernels::cuda
