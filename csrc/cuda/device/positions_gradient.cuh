#pragma once

#include "cuda/device/taps.cuh"

// Gradients of bilinear samples by positions.
namespace tryon_kernels::cuda {

constexpr int kMostGroups = 8;  // that share a pixel's channels, of images whose channels lie apart

// Sums over channels of the output's gradient times each tap.
template <class P>
struct Products {
  P value[kTaps];
};

// The gradient by a position.
template <class P>
struct Slopes {
  P x, y;
};

template <class P>
__device__ __forceinline__ Slopes<P> slopes_of(const PixelPlace<P>& place, const Products<P>& products) {
  const P u = place.x.fraction, v = place.y.fraction;
  const auto& [upper_left, upper_right, lower_left, lower_right] = products.value;
  return {(1 - v) * (upper_right - upper_left) + v * (lower_right - lower_left),
          (1 - u) * (lower_left - upper_left) + u * (lower_right - upper_right)};
}

// A position that was brought in has no gradient, whatever the features are.
template <class P>
__device__ __forceinline__ void write_slopes(const Positions<P>& gradient, const Pixel& pixel,
                                             const PixelPlace<P>& place, const Slopes<P>& slopes) {
  P* to = gradient.data + pixel.n * gradient.image + pixel.y * gradient.row + pixel.x * gradient.column;
  to[0] = place.x.slope != 0 ? slopes.x * place.x.slope : P{0};
  to[gradient.axis] = place.y.slope != 0 ? slopes.y * place.y.slope : P{0};
}

// A tap outside contributes nothing, even where the output's gradient is not finite.
template <class T>
__device__ __forceinline__ Products<Wide<T>> confined_to(const Taps<const T>& taps, Products<Wide<T>> products) {
#pragma unroll
  for (int k = 0; k < kTaps; ++k)
    if (!taps.within[k]) products.value[k] = 0;
  return products;
}

template <class T>
__device__ __forceinline__ void add_vector(const Taps<const T>& taps, const T* grad, int64_t channel,
                                           Products<Wide<T>>& products) {
  const Vector<T> gradient = load_vector(grad + channel);
  Vector<T> tap[kTaps];
#pragma unroll
  for (int k = 0; k < kTaps; ++k) tap[k] = read_tap_vector(taps, k, channel);
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) {
#pragma unroll
    for (int k = 0; k < kTaps; ++k) products.value[k] += widen(gradient.value[i]) * widen(tap[k].value[i]);
  }
}

// The sum of groups of `lanes` neighbours within a warp, a power of two.
template <class P>
__device__ __forceinline__ P sum_lanes(P value, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}

// For images whose channels lie together: threads (lane, column, row); the lanes, a power of two, share a pixel's
// channels.
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    positions_gradient_vectors(Image<const T> grad_output, Image<const T> input, Positions<const Wide<T>> positions,
                               Positions<Wide<T>> grad_positions, Sampling sampling, Tiling tiling) {
  // All lanes of a warp take part in its sums, also those without a pixel of their own.
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.z, threadIdx.y);
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const Taps<const T> taps = taps_of(sampling, place, input, pixel.n);
  const T* grad = address(grad_output, pixel);
  Products<Wide<T>> products = {};
  for (int64_t channel = int64_t{threadIdx.x} * kVector<T>; channel < sampling.channels;
       channel += int64_t{blockDim.x} * kVector<T>)
    add_vector(taps, grad, channel, products);
  Slopes<Wide<T>> slopes = slopes_of(place, confined_to(taps, products));
  slopes = {sum_lanes(slopes.x, blockDim.x), sum_lanes(slopes.y, blockDim.x)};
  if (threadIdx.x == 0 && pixel.real) write_slopes(grad_positions, pixel, place, slopes);
}

// A thread's part of the channels at a pixel: every so many from the first one, at which `taps` and `grad` are.
template <class T>
struct ChannelGroup {
  Taps<const T> taps;
  const T* grad;
  int64_t tap_step, grad_step;
};

template <int kCount, class T>
__device__ __forceinline__ void add_next(ChannelGroup<T>& at, Products<Wide<T>>& products) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const Wide<T> gradient = widen(*at.grad);
#pragma unroll
    for (int k = 0; k < kTaps; ++k) products.value[k] += gradient * read_tap(at.taps, k, 0);
    at.taps.upper_left += at.tap_step;
    at.grad += at.grad_step;
  }
}

template <class T>
__device__ __forceinline__ Products<Wide<T>> group_products(const Taps<const T>& taps, const T* grad,
                                                            int64_t input_channel, int64_t grad_channel,
                                                            int64_t channels) {
  constexpr int kAtOnce = 2;
  const int64_t groups = blockDim.z;
  int64_t channel = threadIdx.z;
  ChannelGroup<T> at = {taps, grad + channel * grad_channel, groups * input_channel, groups * grad_channel};
  at.taps.upper_left += channel * input_channel;
  Products<Wide<T>> products = {};
#pragma unroll 1
  for (; channel + (kAtOnce - 1) * groups < channels; channel += kAtOnce * groups) add_next<kAtOnce>(at, products);
#pragma unroll 1
  for (; channel < channels; channel += groups) add_next<1>(at, products);
  return products;
}

// The sum of all groups, for threads of the first one. Barriers: all threads of a block have to come here.
template <class P>
__device__ __forceinline__ Slopes<P> sum_groups(Slopes<P> slopes) {
  __shared__ P x[kSamplingThreads];
  __shared__ P y[kSamplingThreads];
  const unsigned pixels = blockDim.x * blockDim.y,
                 thread = threadIdx.z * pixels + threadIdx.y * blockDim.x + threadIdx.x;
  x[thread] = slopes.x;
  y[thread] = slopes.y;
  __syncthreads();
  if (threadIdx.z == 0) {
    for (unsigned other = thread + pixels; other < pixels * blockDim.z; other += pixels)
      slopes = {slopes.x + x[other], slopes.y + y[other]};
  }
  __syncthreads();
  return slopes;
}

// For images of any strides: threads (column, row, group of channels).
template <class T>
__global__ void __launch_bounds__(kSamplingThreads, kResidentBlocks)
    positions_gradient_planes(Image<const T> grad_output, Image<const T> input, Positions<const Wide<T>> positions,
                              Positions<Wide<T>> grad_positions, Sampling sampling, Tiling tiling) {
  const Pixel pixel = pixel_of(sampling, tiling, threadIdx.y, threadIdx.x);
  const PixelPlace<Wide<T>> place = place_of<T>(sampling, positions, pixel);
  const Taps<const T> taps = taps_of(sampling, place, input, pixel.n);
  const Products<Wide<T>> products =
      group_products(taps, address(grad_output, pixel), input.channel, grad_output.channel, sampling.channels);
  const Slopes<Wide<T>> slopes = sum_groups(slopes_of(place, confined_to(taps, products)));
  if (threadIdx.z == 0 && pixel.real) write_slopes(grad_positions, pixel, place, slopes);
}

}  // namespace tryon_kernels::cuda
