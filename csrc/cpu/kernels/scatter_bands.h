#pragma once

#include <algorithm>
#include <cstring>

#include "cpu/kernels/interleave.h"
#include "cpu/kernels/sample_positions.h"

// The input's gradient, band by band. Each task sums into a band of rows and a few channels of one image, in memory of
// its own that the second-level cache holds; output pixels come in their order, so the sums are the same however the
// image is split.
namespace tryon_kernels {
namespace {

// Taps of the pixels of a segment in a band of rows; offsets in pixels, top left tap first.
template <class P>
struct alignas(kVectorBytes) Targets {
  int32_t offset[kSegment];
  P weight[4][kSegment];
  bool all[kSegment];        // of each vector: whether all taps of all pixels are within
  int32_t within[kSegment];  // one bit for each tap, where they are not
};

template <class P>
[[gnu::noinline]] void aim(const Sampling& sampling, const Along<P>& x, const Along<P>& y, int64_t count,
                           const Band& band, Targets<P>& targets) {
  const int32_t width = static_cast<int32_t>(sampling.width);
  const int32_t first = static_cast<int32_t>(band.first_row), rows = static_cast<int32_t>(band.rows);
  for (int64_t i = 0; i < count; i += kLanes<P>) {
    const auto left = load<Indices<P>>(x.first + i), top = load<Indices<P>>(y.first + i) - first;
    const Vector<P> u = load_wide(x.fraction + i), v = load_wide(y.fraction + i);
    targets.all[i / kLanes<P>] = is_zero(~(are_indices<P>(left, width - 1) & are_indices<P>(top, rows - 1)));
    if (!targets.all[i / kLanes<P>]) {
      const Indices<P> columns = (are_indices<P>(left, width) & 5) | (are_indices<P>(left + 1, width) & 10);
      const Indices<P> in_rows = (are_indices<P>(top, rows) & 3) | (are_indices<P>(top + 1, rows) & 12);
      store(targets.within + i, columns & in_rows);
    }
    store(targets.offset + i, top * width + left);
    store(targets.weight[0] + i, (1 - v) * (1 - u));
    store(targets.weight[1] + i, (1 - v) * u);
    store(targets.weight[2] + i, v * (1 - u));
    store(targets.weight[3] + i, v * u);
  }
}

// K channels, as vectors.
template <class P, int64_t K>
struct Group {
  static constexpr int64_t kStep = std::min(K, kLanes<P>);
  using V = Lanes<P, kStep>;

  // To the taps of one pixel. All are read before the first is written: the compiler cannot know that they differ.
  static void add(P* const (&taps)[4], const P (&weights)[4], const P* grad) {
    for (int64_t k = 0; k < K; k += kStep) {
      const V g = load<V>(grad + k);
      V sums[4];
      for (int tap = 0; tap < 4; ++tap) sums[tap] = load<V>(taps[tap] + k) + weights[tap] * g;
      for (int tap = 0; tap < 4; ++tap) store(taps[tap] + k, sums[tap]);
    }
  }

  static void add(P* sums, P weight, const P* grad) {
    for (int64_t k = 0; k < K; k += kStep) store(sums + k, load<V>(sums + k) + weight * load<V>(grad + k));
  }
};

template <int64_t K, class P>
[[gnu::noinline]] void scatter(const Targets<P>& targets, const P* grads, int64_t grad_step, int64_t count,
                               int64_t width, P* sums) {
  const int64_t steps[4] = {0, K, width * K, (width + 1) * K};
  for (int64_t first = 0; first < count; first += kLanes<P>) {
    const int64_t last = std::min(count, first + kLanes<P>);
    if (targets.all[first / kLanes<P>]) {
      for (int64_t i = first; i < last; ++i) {
        P* const target = sums + targets.offset[i] * K;
        P* const taps[4] = {target, target + steps[1], target + steps[2], target + steps[3]};
        const P weights[4] = {targets.weight[0][i], targets.weight[1][i], targets.weight[2][i], targets.weight[3][i]};
        Group<P, K>::add(taps, weights, grads + i * grad_step);
      }
    } else {
      for (int64_t i = first; i < last; ++i) {
        P* target = sums + targets.offset[i] * K;
        for (int tap = 0; tap < 4; ++tap) {
          if (targets.within[i] >> tap & 1)
            Group<P, K>::add(target + steps[tap], targets.weight[tap][i], grads + i * grad_step);
        }
      }
    }
  }
}

template <int64_t K, class T>
void scatter_band(const Sampling& sampling, const Image<const T>& grad_output,
                  const Positions<const Wide<T>>& positions, const Reach* reaches, const Image<T>& grad_input,
                  const Band& band, Wide<T>* sums) {
  using P = Wide<T>;
  Tile<P> segment;
  Targets<P> targets;
  alignas(kVectorBytes) P packed[kSegment * K];
  const T* grad_image = grad_output.data + band.image * grad_output.image + band.first_channel * grad_output.channel;
  const int64_t channels = std::min(K, sampling.channels - band.first_channel);
  const bool in_place = std::is_same_v<T, P> && grad_output.channel == 1 && channels == K;
  std::fill_n(packed, kSegment * K, P{0});
  std::fill_n(sums, band.rows * sampling.width * K, P{0});

  const int64_t segments = segments_of_row(sampling);
  const Reach* next = reaches ? reaches + band.image * sampling.out_height * segments : nullptr;
  segment.image = band.image;
  segment.rows = 1;
  for (int64_t row = 0; row < sampling.out_height; ++row) {
    for (int64_t start = 0; start < sampling.out_width; start += kSegment) {
      const Reach* const reach = next ? next++ : nullptr;
      if (reach && (reach->last < band.first_row || reach->first >= band.first_row + band.rows)) continue;
      const int64_t count = std::min(kSegment, sampling.out_width - start);
      segment.pitch = count;
      locate(sampling, positions, row, start, {1, count, count}, 0, segment);
      aim(sampling, segment.x, segment.y, count, band, targets);
      const T* grad = grad_image + row * grad_output.row + start * grad_output.column;
      if constexpr (std::is_same_v<T, P>) {
        if (in_place) {
          scatter<K>(targets, grad, grad_output.column, count, sampling.width, sums);
          continue;
        }
      }
      pack<K>(grad, grad_output, channels, count, packed);
      scatter<K>(targets, packed, K, count, sampling.width, sums);
    }
  }

  T* result = grad_input.data + band.image * grad_input.image + band.first_channel * grad_input.channel +
              band.first_row * grad_input.row;
  for (int64_t row = 0; row < band.rows; ++row, result += grad_input.row, sums += sampling.width * K)
    unpack<K>(sums, channels, sampling.width, result, grad_input);
}

}  // namespace
}  // namespace tryon_kernels
