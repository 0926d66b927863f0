// Small kernels, right and wrong ones, for the tests of what runs them on the host.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "cuda/device/shared.cuh"

namespace {

using tryon_kernels::cuda::dynamic_shared;

template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Arguments... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// One sum a block, in dynamic shared memory.
template <bool kBarrier>
__global__ void __launch_bounds__(1024) add_block(const float* __restrict__ from, float* __restrict__ sums) {
  float* partial = dynamic_shared<float>();
  partial[threadIdx.x] = from[blockIdx.x * blockDim.x + threadIdx.x];
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (kBarrier) __syncthreads();
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

// One sum a warp, over both kinds of shuffle; then the block's in static shared memory, by threads of the first warp.
template <class T>
__global__ void add_warps(const T* from, T* sums) {
  __shared__ T partial[32];
  const int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize, warps = blockDim.x / warpSize;
  T sum = __ldg(from + blockIdx.x * blockDim.x + threadIdx.x);
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, bits);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  if (warp > 0) return;
  sum = lane < warps ? partial[lane] : T{0};
  for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xffffffffu, sum, delta);
  if (lane == 0) sums[blockIdx.x] = sum;
}

// What lanes take from each other in groups of 8: of a chosen lane, of the second next, of their mirror.
__global__ void shuffle(int* taken) {
  const int lane = threadIdx.x;
  taken[lane] = __shfl_sync(0xffffffffu, lane, 3, 8);
  taken[32 + lane] = __shfl_down_sync(0xffffffffu, lane, 2, 8);
  taken[64 + lane] = __shfl_xor_sync(0xffffffffu, lane, 7, 8);
}

// Each lane writes for its neighbour, without a meeting of the block.
template <bool kBarrier>
__global__ void pass_on(int* taken) {
  __shared__ int given[32];
  given[threadIdx.x] = threadIdx.x;
  if (kBarrier) __syncwarp();
  taken[threadIdx.x] = given[(threadIdx.x + 1) % 32];
}

// Two batches of one copy each; waits until so many are still open, and looks at both.
__global__ void copy_in_batches(const float4* from, float4* to, int still_open) {
  __shared__ float4 tile[2][32];
  for (int batch = 0; batch < 2; ++batch) {
    __pipeline_memcpy_async(&tile[batch][threadIdx.x], from + 32 * batch + threadIdx.x, 16, batch == 0 ? 0 : 12);
    __pipeline_commit();
  }
  if (still_open < 2) __pipeline_wait_prior(still_open);
  __syncthreads();
  for (int batch = 0; batch < 2; ++batch) to[32 * batch + threadIdx.x] = tile[batch][threadIdx.x];
}

__global__ void count(const int* values, int size, int* counts, unsigned* seen, double* sum) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= size) return;
  atomicAdd(counts + values[i], 1);
  atomicOr(seen, 1u << values[i]);
  atomicAdd(sum, values[i]);
}

// What shared memory has before anything is written: dynamic, then static. Leaves other things there.
__global__ void look_into_shared_memory(float* found) {
  __shared__ float fixed[1];
  float* dynamic = dynamic_shared<float>();
  found[2 * blockIdx.x] = dynamic[0];
  found[2 * blockIdx.x + 1] = fixed[0];
  dynamic[0] = fixed[0] = 1;
}

__global__ void note_last(uint3* last_block, uint3* last_thread) {
  *last_block = blockIdx;
  *last_thread = threadIdx;
}

template <class T>
__global__ void widen(const T* from, float* to, int size) {
  for (int i = threadIdx.x; i < size; i += blockDim.x) to[i] = static_cast<float>(from[i]);
}

template <class T>
__global__ void narrow(const float* from, T* to, int size) {
  for (int i = threadIdx.x; i < size; i += blockDim.x) to[i] = T(from[i]);
}

__global__ void round_to_integers(const float* from, int* below, long long* nearest, int size) {
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    below[i] = __float2int_rd(from[i]);
    nearest[i] = __float2ll_rn(from[i]);
  }
}

__device__ void write(volatile char* bytes, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) bytes[i] = 0;
}

__global__ void write_shared_bytes(int count) { write(dynamic_shared<char>(), count); }

__global__ void write_static_bytes(int count) {
  __shared__ char bytes[64];
  write(bytes, count);
}

__global__ void write_own_bytes(int count) {
  char bytes[64];
  __syncthreads();
  write(bytes, count);
}

__global__ void shuffle_with_a_lane_that_ended() {
  if (threadIdx.x == 3) return;
  __shfl_xor_sync(0xffffffffu, 1, 1);
}

__global__ void shuffle_with_a_lane_at_the_barrier() {
  if (threadIdx.x == 3) __syncthreads();
  __shfl_xor_sync(0xffffffffu, 1, 1);
  if (threadIdx.x != 3) __syncthreads();
}

__global__ void shuffle_without_itself() { __shfl_xor_sync(1u, 1, 1); }

__global__ void wait_at_two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void copy_to_an_odd_address(const float* from) {
  __pipeline_memcpy_async(dynamic_shared<float>() + 1, from, 16);
}

}  // namespace

extern "C" {

int run_add_block(const float* from, float* sums, unsigned blocks, unsigned threads, bool barrier) {
  return launch(barrier ? add_block<true> : add_block<false>, blocks, threads, threads * sizeof(float), from, sums);
}
int run_add_warps(const float* from, float* sums, unsigned blocks, unsigned threads) {
  return launch(add_warps<float>, blocks, threads, 0, from, sums);
}
int run_add_warps_double(const double* from, double* sums, unsigned blocks, unsigned threads) {
  return launch(add_warps<double>, blocks, threads, 0, from, sums);
}
int run_shuffle(int* taken) { return launch(shuffle, 1, 32, 0, taken); }
int run_pass_on(int* taken, bool barrier) { return launch(barrier ? pass_on<true> : pass_on<false>, 1, 32, 0, taken); }
int run_copy_in_batches(const float* from, float* to, int still_open) {
  return launch(copy_in_batches, 1, 32, 0, reinterpret_cast<const float4*>(from), reinterpret_cast<float4*>(to),
                still_open);
}
int run_count(const int* values, int size, int* counts, unsigned* seen, double* sum) {
  return launch(count, (size + 63) / 64, 64, 0, values, size, counts, seen, sum);
}
int run_look_into_shared_memory(float* found, unsigned blocks) {
  return launch(look_into_shared_memory, blocks, 1, sizeof(float), found);
}
int run_note_last(unsigned* last) {
  auto* indices = reinterpret_cast<uint3*>(last);
  return launch(note_last, dim3(2, 3, 4), dim3(5, 6, 7), 0, indices, indices + 1);
}
int run_widen_half(const void* from, float* to, int size) {
  return launch(widen<__half>, 1, 32, 0, static_cast<const __half*>(from), to, size);
}
int run_widen_bfloat16(const void* from, float* to, int size) {
  return launch(widen<__nv_bfloat16>, 1, 32, 0, static_cast<const __nv_bfloat16*>(from), to, size);
}
int run_narrow_half(const float* from, void* to, int size) {
  return launch(narrow<__half>, 1, 32, 0, from, static_cast<__half*>(to), size);
}
int run_narrow_bfloat16(const float* from, void* to, int size) {
  return launch(narrow<__nv_bfloat16>, 1, 32, 0, from, static_cast<__nv_bfloat16*>(to), size);
}
int run_round_to_integers(const float* from, int* below, long long* nearest, int size) {
  return launch(round_to_integers, 1, 32, 0, from, below, nearest, size);
}
int run_with_shared_bytes(int bytes, bool allow) {
  cudaFuncSetAttribute(write_shared_bytes, cudaFuncAttributeMaxDynamicSharedMemorySize, allow ? bytes : 0);
  return launch(write_shared_bytes, 1, 32, bytes, bytes);
}
int run_grid(unsigned x, unsigned y, unsigned z, unsigned threads) {
  return launch(write_shared_bytes, dim3(x, y, z), threads, 0, 0);
}
int take_last_error() { return cudaGetLastError(); }
int count_multiprocessors() {
  int count = 0;
  return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0) == cudaSuccess ? count : -1;
}

}  // extern "C"

// Runs the mistake that is named.
int main(int, char** arguments) {
  const char* name = arguments[1];
  const auto is = [&](const char* mistake) { return std::strcmp(name, mistake) == 0; };
  float source[4] = {};
  if (is("none"))
    return launch(write_shared_bytes, 2, 64, 100, 100) + launch(write_static_bytes, 2, 64, 0, 64) +
           launch(write_own_bytes, 2, 64, 0, 64);
  if (is("multiprocessors")) return count_multiprocessors();
  if (is("dynamic shared memory")) return launch(write_shared_bytes, 1, 64, 100, 101);
  if (is("static shared memory")) return launch(write_static_bytes, 1, 64, 0, 65);
  if (is("own array")) return launch(write_own_bytes, 1, 64, 0, 65);
  if (is("ended lane")) return launch(shuffle_with_a_lane_that_ended, 1, 32, 0);
  if (is("no such lane")) return launch(shuffle_with_a_lane_that_ended, 1, 2, 0);
  if (is("lane at the barrier")) return launch(shuffle_with_a_lane_at_the_barrier, 1, 32, 0);
  if (is("mask without itself")) return launch(shuffle_without_itself, 1, 2, 0);
  if (is("two barriers")) return launch(wait_at_two_barriers, 1, 64, 0);
  if (is("odd address")) return launch(copy_to_an_odd_address, 1, 1, 64, static_cast<const float*>(source));
  std::fprintf(stderr, "unknown mistake: %s\n", name);
  return 1;
}
