// What bounds one core, in loops that do one thing each:
//
//     c++ -std=c++20 -O2 -march=native benchmarks/core_limits.cpp -o core_limits && ./core_limits
//
// The correlation's product works on tiles of 3 pixels and 7 displacements: for each vector of channels it loads 3 + 9
// vectors for 21 multiply-adds. Sampling loads four vectors, multiplies and adds as often, and stores one. Feature maps
// are read a pixel's channels at a time (channels_last, lines that follow one another) or some lines from each plane
// (NCHW).

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
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

// Where the first line of a buffer starts.
inline float* first_line(std::vector<float>& memory) {
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + kLine - 1) / kLine * kLine);
}

inline Vector load(const float* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }

// The sum of a tile's products, with their loads or without.
template <bool Loads>
inline Vector tile(const float* centres, const float* neighbours, int64_t pitch, int64_t channels) {
  Vector sum[kPixels][kDisplacements] = {}, centre[kPixels] = {}, neighbour = {};
  for (int64_t c = 0; c < channels; c += kLanes) {
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) centre[p] = kept(Loads ? load(centres + p * pitch + c) : centre[p]);
#pragma GCC unroll 16
    for (int column = 0; column < kNeighbours; ++column) {
      neighbour = kept(Loads ? load(neighbours + column * pitch + c) : neighbour);
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p)
        if (column >= p && column - p < kDisplacements) sum[p][column - p] += centre[p] * neighbour;
    }
  }
  Vector total = {};
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 8
    for (int d = 0; d < kDisplacements; ++d) total += sum[p][d];
  return total;
}

// Operations a second of tiles with or without their loads, from so many bytes that are read again and again.
template <bool Loads>
double tiles(int64_t bytes) {
  constexpr int64_t kChannels = 256;
  const int64_t pixels = bytes / (kChannels * static_cast<int64_t>(sizeof(float)));
  std::vector<float> memory((pixels + kNeighbours + kPixels) * kChannels + kLanes, 1.0f);
  const float* const start = first_line(memory);
  const int64_t rounds = 64 * 1024 * 1024 / bytes + 1, count = std::max<int64_t>(1, pixels / (kNeighbours + kPixels));
  const double time = seconds([&] {
    Vector total = {};
    for (int64_t round = 0; round < rounds; ++round) {
      for (int64_t i = 0; i < count; ++i) {
        const float* const at = start + i * (kNeighbours + kPixels) * kChannels;
        total += tile<Loads>(at + kNeighbours * kChannels, at, kChannels, kChannels);
      }
    }
    sink = total[0];
  });
  return 2.0 * kPixels * kDisplacements * kChannels * static_cast<double>(rounds * count) / time;
}

// The same as the operation walks: tiles go along two rows of centres, which take their neighbours from the same seven
// rows of a map in the second-level cache, one row after the other.
double walking_tiles() {
  constexpr int64_t kChannels = 256, kPitch = kChannels + 16, kWidth = 48, kRows = 7, kCentreRows = 2;
  constexpr int64_t kColumns = kWidth + kDisplacements - 1, kStrip = 9;
  static std::vector<float> memory((kRows * kColumns + kCentreRows * kWidth) * kPitch + kLanes, 1.0f);
  const float* const start = first_line(memory);
  const float* const centres = start + kRows * kColumns * kPitch;
  constexpr int kRounds = 20;
  const double time = seconds([&] {
    Vector total = {};
    for (int round = 0; round < kRounds; ++round)
      for (int64_t strip = 0; strip < kWidth; strip += kStrip)
        for (int64_t row = 0; row < kRows; ++row)
          for (int64_t i = 0; i < kCentreRows; ++i)
            for (int64_t x = strip; x < std::min(strip + kStrip, kWidth); x += kPixels)
              total += tile<true>(centres + (i * kWidth + x) * kPitch, start + (row * kColumns + x) * kPitch, kPitch,
                                  kChannels);
    sink = total[0];
  });
  return 2.0 * kPixels * kDisplacements * kChannels * (kWidth / kPixels * kRows * kCentreRows) * kRounds / time;
}

// Nanoseconds for a vector of a sampled pixel: four taps, two in each of two rows, weighted and added, and a store.
double blended_vector(int64_t bytes) {
  constexpr int64_t kChannels = 256, kWritten = 4096;
  static std::vector<float> memory(1024 * 1024, 1.0f), output(kWritten + kLanes);
  const float* const start = first_line(memory);
  float* const to = first_line(output);
  const int64_t row = bytes / 2 / static_cast<int64_t>(sizeof(float)), rounds = 64 * 1024 * 1024 / bytes;
  const Vector weight = kept(Vector{} + 0.25f);
  const double time = seconds([&] {
    for (int64_t round = 0; round < rounds; ++round)
#pragma GCC unroll 4
      for (int64_t at = 0; at + kChannels < row; at += kLanes) {
        const float* const from = start + at;
        Vector sum = weight * load(from);
        sum += weight * load(from + kChannels);
        sum += weight * load(from + row);
        sum += weight * load(from + row + kChannels);
        store(to + at % kWritten, sum);
      }
    sink = to[0];
  });
  return time / static_cast<double>(rounds * ((row - kChannels) / kLanes)) * 1e9;
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
  std::printf("tiles, as the operation walks   %6.0f GFLOP/s\n", walking_tiles() * 1e-9);
  std::printf("a vector of a sampled pixel, taps from 24 KiB   %5.2f ns\n", blended_vector(24 * 1024));
  std::printf("a vector of a sampled pixel, taps from 512 KiB  %5.2f ns\n", blended_vector(512 * 1024));
  std::printf("a line of memory, read on and on          %5.1f ns\n", line(192, 192));
  std::printf("a line of memory, 12 of a plane at a time %5.1f ns\n", line(12, 192));
  std::printf("a line of memory, 3 of a plane at a time  %5.1f ns\n", line(3, 48));
}
