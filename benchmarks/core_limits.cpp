// What bounds one core, in loops that do one thing each:
//
//     c++ -std=c++20 -O2 -march=native benchmarks/core_limits.cpp -o core_limits && ./core_limits
//
// The correlation's product works on tiles of 3 pixels and 7 displacements: for each vector of channels it loads 3 + 9
// vectors for 21 multiply-adds. Feature maps are read a pixel's channels at a time (channels_last, lines that follow
// one another) or some lines from each plane (NCHW).

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

constexpr int kPixels = 3, kDisplacements = 7, kNeighbours = kPixels + kDisplacements - 1;
constexpr int64_t kLine = 64;

// Keeps a value in a register, so that it is loaded once.
inline Vector kept(Vector value) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(value));
#else
  asm volatile("" : "+w"(value));
#endif
  return value;
}

// The shortest of several runs.
template <class Body>
double seconds(const Body& body) {
  double best = 1e9;
  for (int run = 0; run < 20; ++run) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

volatile float sink;

// Operations a second of tiles with or without their loads, from so many bytes that are read again and again.
template <bool Loads>
double tiles(int64_t bytes) {
  constexpr int64_t kChannels = 256;
  const int64_t pixels = bytes / (kChannels * static_cast<int64_t>(sizeof(float)));
  std::vector<float> memory((pixels + kNeighbours + kPixels) * kChannels + kLanes, 1.0f);
  auto* const start = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
  const int64_t rounds = 64 * 1024 * 1024 / bytes + 1, tiles = std::max<int64_t>(1, pixels / (kNeighbours + kPixels));
  const double time = seconds([&] {
    Vector sum[kPixels][kDisplacements] = {};
    for (int64_t round = 0; round < rounds; ++round) {
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const float* at = start + tile * (kNeighbours + kPixels) * kChannels;
        Vector centre[kPixels] = {}, neighbour = {};
        for (int64_t c = 0; c < kChannels; c += kLanes) {
#pragma GCC unroll 8
          for (int p = 0; p < kPixels; ++p)
            centre[p] =
                kept(Loads ? *reinterpret_cast<const Vector*>(at + (kNeighbours + p) * kChannels + c) : centre[p]);
#pragma GCC unroll 16
          for (int column = 0; column < kNeighbours; ++column) {
            neighbour = kept(Loads ? *reinterpret_cast<const Vector*>(at + column * kChannels + c) : neighbour);
#pragma GCC unroll 8
            for (int p = 0; p < kPixels; ++p)
              if (column >= p && column - p < kDisplacements) sum[p][column - p] += centre[p] * neighbour;
          }
        }
      }
    }
    Vector total = {};
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 8
      for (int d = 0; d < kDisplacements; ++d) total += sum[p][d];
    sink = total[0];
  });
  return 2.0 * kPixels * kDisplacements * kChannels * static_cast<double>(rounds * tiles) / time;
}

// Nanoseconds for a line of maps that no cache holds: `run` lines that follow one another, then the next plane's.
double line(int64_t run, int64_t plane_lines) {
  constexpr int64_t kBytes = 1024LL * 1024 * 1024;
  static const std::vector<char> memory(kBytes + 2 * kLine, 1);
  const int64_t planes = kBytes / kLine / plane_lines;
  const double time = seconds([&] {
    Vector total = {};
    for (int64_t first = 0; first < 4 * run; first += run)
      for (int64_t plane = 0; plane < planes; ++plane)
        for (int64_t i = 0; i < run; ++i)
          total +=
              Vector{} + *reinterpret_cast<const float*>(memory.data() + (plane * plane_lines + first + i) * kLine);
    sink = total[0];
  });
  return time / static_cast<double>(4 * run * planes) * 1e9;
}

}  // namespace

int main() {
  std::printf("tiles, multiply-adds alone      %6.0f GFLOP/s\n", tiles<false>(24 * 1024) * 1e-9);
  std::printf("tiles, loads from 24 KiB        %6.0f GFLOP/s\n", tiles<true>(24 * 1024) * 1e-9);
  std::printf("tiles, loads from 768 KiB       %6.0f GFLOP/s\n", tiles<true>(768 * 1024) * 1e-9);
  std::printf("a line of memory, read on and on          %5.1f ns\n", line(192, 192));
  std::printf("a line of memory, 12 of a plane at a time %5.1f ns\n", line(12, 192));
  std::printf("a line of memory, 3 of a plane at a time  %5.1f ns\n", line(3, 48));
}
