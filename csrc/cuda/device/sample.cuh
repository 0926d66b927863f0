#pragma once

#include "cuda/device/taps.cuh"

// Bilinear samples.
namespace tryon_kernels::cuda {

constexpr int kSampledChannels = 8;  // that a thread samples at one pixel, of images whose channels lie apart

template <class T>
__device__ __forceinline__ Vector<T> sample_vector(const Taps<const T>& taps, const Weights<Wide<T>>& weights,
                                                   int64_t channel) {
  Vector<T> tap[kTaps], sample;
#pragma unroll
  for (int k = 0; k < kTaps; ++k) tap[k] = read_tap_vector(taps, k, channel);
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) {
    const Wide<T> values[kTaps] = {widen(tap[0].value[i]), widen(tap[1].value[i]), widen(tap[2].value[i]),
                                   widen(tap[3].value[i])};
    sample.value[i] = narrow<T>(interpolate(weights.value, values));
  }
  return sample;
}

// For images whose channels lie together: threads (vector of channels, column, row).
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    sample_vectors(Image<const T> input, Positions<const Wide<T>> positions, Image<T> output, Sampling sampling,
                   Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.z, threadIdx.y);
  if (!pixel.real) return;
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const Taps<const T> taps = taps_of(sampling, place, input, pixel.n);
  const Weights<Wide<T>> weights = weights_of(place);
  T* to = address(output, pixel);
  for (int64_t channel = int64_t{threadIdx.x} * kVector<T>; channel < sampling.channels;
       channel += int64_t{blockDim.x} * kVector<T>)
    store_vector_globally(to + channel, sample_vector(taps, weights, channel));
}

// A pixel in an image and its output, going on from channel to channel.
template <class T>
struct ChannelSteps {
  Taps<const T> taps;
  T* to;
  int64_t tap_step, step;
};

// The next few channels, all read before the first is written: the compiler cannot know that a write changes no tap.
template <int kCount, class T>
__device__ __forceinline__ void sample_next(ChannelSteps<T>& at, const Weights<Wide<T>>& weights) {
  Wide<T> tap[kCount][kTaps];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
#pragma unroll
    for (int k = 0; k < kTaps; ++k) tap[i][k] = read_tap(at.taps, k, 0);
    at.taps.upper_left += at.tap_step;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    *at.to = narrow<T>(interpolate(weights.value, tap[i]));
    at.to += at.step;
  }
}

// For images of any strides: threads (column, row).
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    sample_planes(Image<const T> input, Positions<const Wide<T>> positions, Image<T> output, Sampling sampling,
                  Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.y, threadIdx.x);
  if (!pixel.real) return;
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const Taps<const T> taps = taps_of(sampling, place, input, pixel.n);
  const Weights<Wide<T>> weights = weights_of(place);
  const ChannelRange channels = channels_of(sampling, tiling);
  ChannelSteps<T> at = {taps, address(output, pixel), input.channel, output.channel};
  at.taps.upper_left += channels.first * at.tap_step;
  at.to += channels.first * at.step;
  constexpr int kAtOnce = kVector<Wide<T>>;
  int64_t rest = channels.end - channels.first;
#pragma unroll 1
  for (; rest >= kAtOnce; rest -= kAtOnce) sample_next<kAtOnce>(at, weights);
#pragma unroll 1
  for (; rest > 0; --rest) sample_next<1>(at, weights);
}

}  // namespace tryon_kernels::cuda
