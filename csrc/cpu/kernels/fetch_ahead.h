#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/strips.h"

// What the next strip reads, fetched while this one is computed.
namespace tryon_kernels {
namespace {

// Whether lines of planes can be fetched ahead, each of another page. Where a variant stands for one maker's CPUs this
// was measured: AMD's gain a quarter, Intel's lose a tenth.
#if defined(__AVX512BF16__)
constexpr bool kFetchesPlanes = true;
#else
constexpr bool kFetchesPlanes = false;
#endif

// Whether the caches do not keep a gradient.
template <class T>
bool is_large(const CorrelationSizes& sizes, const Image<T>& gradient) {
  constexpr int64_t kBeyondCaches = 512 * 1024;  // numbers of an image
  return sizes.height * gradient.row >= kBeyondCaches;
}

// Brings what the next strip reads towards the second-level cache, a little at a time while this one is computed. Only
// whole rows of a map that has no gaps: lines that follow one another where channels are together, and some of each
// plane where they are not.
class Ahead {
 public:
  // The rows of a strip that lie `below` those of this one.
  template <class T>
  void add(const Image<T>& image, int64_t channels, const CorrelationSizes& sizes, const Strip& strip, int64_t below) {
    constexpr int64_t kBytes = sizeof(T);
    const int64_t y = strip.y + below, rows = std::min(strip.rows, sizes.height - y);
    if (strip.width() != sizes.width || rows <= 0) return;
    const auto* start = reinterpret_cast<const char*>(pixels_of(image, strip.image, 0, y, 0).data);
    const int64_t lines = parts(rows * image.row * kBytes, kLineBytes);
    if (image.channel == 1 && image.row == sizes.width * image.column) {
      runs_[count_++] = {start, kLineBytes, 1, lines};
    } else if (kFetchesPlanes && image.column == 1 && image.row == sizes.width) {
      runs_[count_++] = {start, image.channel * kBytes, lines, channels};
    }
  }

  // All of it in so many times, or nearly.
  void divide_by(int64_t times) { share_ = parts(runs_[0].visits + runs_[1].visits, times); }

  void fetch() {
    if (at_ == count_) return;
    Run& run = runs_[at_];
    const int64_t visits = std::min(share_, run.visits);
    for (int64_t visit = 0; visit < visits; ++visit, run.start += run.step) {
      __builtin_prefetch(run.start, 0, 2);
      for (int64_t line = 1; line < run.lines; ++line) __builtin_prefetch(run.start + line * kLineBytes, 0, 2);
    }
    run.visits -= visits;
    at_ += run.visits == 0;
  }

 private:
  // So many lines that follow one another, as many again a step further, and so on.
  struct Run {
    const char* start = nullptr;
    int64_t step = 0, lines = 0, visits = 0;
  };
  Run runs_[2];
  int count_ = 0, at_ = 0;
  int64_t share_ = 0;
};

}  // namespace
}  // namespace tryon_kernels
