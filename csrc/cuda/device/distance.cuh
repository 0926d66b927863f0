#pragma once

#include "cuda/device/taps.cuh"

// The mean distance of features, after ReLU, from a target, for numbers that lie one after the other in memory.
namespace tryon_kernels::cuda {

constexpr int kDistances = 2048;  // that a block adds up, as in tryon_kernels/gpu/kernels.py
constexpr int kDistanceThreads = 256;

// Of a block's numbers a thread has so many vectors, a block's width apart.
template <class T>
constexpr int kOwnVectors = kDistances / (kDistanceThreads * kVector<T>);

template <class T>
__device__ __forceinline__ int64_t place_of_vector(int j) {
  return int64_t{blockIdx.x} * kDistances + (j * kDistanceThreads + static_cast<int>(threadIdx.x)) * kVector<T>;
}

// How many numbers there are, and whether all tensors begin at a multiple of 16 bytes.
struct Extent {
  int64_t count;
  bool aligned;
};

// A vector of numbers, of which those beyond the last one are 0, or not written.
template <class T>
__device__ __forceinline__ Vector<T> load_within(const T* from, int64_t i, const Extent& extent) {
  if (extent.aligned && i + kVector<T> <= extent.count) return load_vector(from + i);
  Vector<T> numbers = {};
#pragma unroll
  for (int k = 0; k < kVector<T>; ++k)
    if (i + k < extent.count) numbers.value[k] = from[i + k];
  return numbers;
}

template <class T>
__device__ __forceinline__ void store_within(T* to, int64_t i, const Vector<T>& numbers, const Extent& extent) {
  if (extent.aligned && i + kVector<T> <= extent.count) return store_vector_globally(to + i, numbers);
#pragma unroll
  for (int k = 0; k < kVector<T>; ++k)
    if (i + k < extent.count) to[i + k] = numbers.value[k];
}

// The sum over a block's threads, for its first thread.
template <class P>
__device__ __forceinline__ P sum_of_block(P sum) {
  __shared__ P of_warps[kDistanceThreads / kWarp];
#pragma unroll
  for (int bits = kWarp / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = sum;
  __syncthreads();
  if (threadIdx.x > 0) return 0;
#pragma unroll
  for (unsigned warp = 1; warp < kDistanceThreads / kWarp; ++warp) sum += of_warps[warp];
  return sum;
}

// Writes the features after ReLU, unless `activated` is null, and the sum of a block's distances. As torch's, ReLU
// leaves a NaN one.
template <class T>
__global__ void __launch_bounds__(kDistanceThreads, kResidentBlocks)
    measure_distances(const T* __restrict__ features, const T* __restrict__ target, T* __restrict__ activated,
                      Wide<T>* __restrict__ sums, Extent extent) {
  using P = Wide<T>;
  Vector<T> value[kOwnVectors<T>], wanted[kOwnVectors<T>];
#pragma unroll
  for (int j = 0; j < kOwnVectors<T>; ++j) {
    value[j] = load_within(features, place_of_vector<T>(j), extent);
    wanted[j] = load_within(target, place_of_vector<T>(j), extent);
  }
  P sum = 0;
#pragma unroll
  for (int j = 0; j < kOwnVectors<T>; ++j) {
#pragma unroll
    for (int k = 0; k < kVector<T>; ++k) {
      P number = widen(value[j].value[k]);
      if (activated != nullptr) {
        number = number <= 0 ? P{0} : number;
        value[j].value[k] = narrow<T>(number);
      }
      const P apart = number - widen(wanted[j].value[k]);
      sum += apart < 0 ? -apart : apart;
    }
    if (activated != nullptr) store_within(activated, place_of_vector<T>(j), value[j], extent);
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Those of the results that there are, and those that are wanted: null for none.
template <class T>
struct DistanceGradients {
  const T* grad_activated;
  const Wide<T>* grad_distance;
  T *grad_features, *grad_target;
};

// The sign of a NaN is 0, as torch's.
template <class T>
__global__ void __launch_bounds__(kDistanceThreads, kResidentBlocks)
    differentiate_distances(DistanceGradients<T> gradients, const T* __restrict__ activated,
                            const T* __restrict__ target, bool relu, Extent extent) {
  using P = Wide<T>;
  const bool distant = gradients.grad_distance != nullptr, given = gradients.grad_activated != nullptr;
  const P by_number = distant ? *gradients.grad_distance / static_cast<P>(extent.count) : P{0};
#pragma unroll
  for (int j = 0; j < kOwnVectors<T>; ++j) {
    const int64_t i = place_of_vector<T>(j);
    const Vector<T> value = load_within(activated, i, extent);
    Vector<T> wanted = {}, along = {}, of_features, of_target;
    if (distant) wanted = load_within(target, i, extent);
    if (given) along = load_within(gradients.grad_activated, i, extent);
#pragma unroll
    for (int k = 0; k < kVector<T>; ++k) {
      const P number = widen(value.value[k]), apart = number - widen(wanted.value[k]);
      const P pull = distant ? (P(apart > 0) - P(apart < 0)) * by_number : P{0};
      const P gradient = given ? pull + widen(along.value[k]) : pull;
      of_features.value[k] = narrow<T>(relu && number <= 0 ? P{0} : gradient);
      of_target.value[k] = narrow<T>(-pull);
    }
    if (gradients.grad_features != nullptr) store_within(gradients.grad_features, i, of_features, extent);
    if (gradients.grad_target != nullptr) store_within(gradients.grad_target, i, of_target, extent);
  }
}

}  // namespace tryon_kernels::cuda
