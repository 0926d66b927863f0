#include "cpu/kernels/distance.h"

#include <algorithm>

#include "cpu/kernels/lanes.h"

namespace tryon_kernels {
namespace {

// Distances that are summed in the wide format before their sum is added to others in double precision.
constexpr int64_t kRun = 1024;
constexpr int64_t kChains = 2;  // of additions under way at a time, of each of two vectors

// Numbers that a step takes, as two vectors of the wide format. In which order these have them does not matter here: of
// bfloat16, which is the upper half of a float, the first has those at even places and the second those at odd ones.
template <class T>
constexpr int64_t kStep = 2 * kLanes<Wide<T>>;

template <class T>
struct Two {
  Vector<Wide<T>> first, second;
};

constexpr int32_t kUpper = static_cast<int32_t>(0xffff0000);

template <class T>
inline Two<T> load_two(const T* from) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    const auto pairs = load<Words>(from);
    return {(Floats)(pairs << 16), (Floats)(pairs & kUpper)};
  } else {
    return {load_wide(from), load_wide(from + kLanes<Wide<T>>)};
  }
}

template <class T>
inline void store_two(T* to, const Two<T>& value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    const Words lower = (rounded_to_upper(value.first) >> 16) & 0xffff;
    store(to, lower | (rounded_to_upper(value.second) & kUpper));
  } else {
    store_narrow<T>(to, value.first);
    store_narrow<T>(to + kLanes<Wide<T>>, value.second);
  }
}

// Of fewer numbers; the others are 0, or not written.
template <class T>
inline Two<T> load_two(const T* from, int64_t count) {
  if (count == kStep<T>) return load_two(from);
  T padded[kStep<T>] = {};
  std::memcpy(padded, from, count * sizeof(T));
  return load_two(padded);
}

template <class T>
inline void store_two(T* to, const Two<T>& value, int64_t count) {
  if (count == kStep<T>) return store_two(to, value);
  T padded[kStep<T>];
  store_two(padded, value);
  std::memcpy(to, padded, count * sizeof(T));
}

// As torch's, ReLU leaves a NaN one, and the sign of a NaN is 0.
template <class V>
inline V after_relu(V features) {
  return features <= 0 ? V{} : features;
}

template <class V>
inline V sign(V value) {
  const V zero = {}, one = zero + 1;
  return (value > 0 ? one : zero) - (value < 0 ? one : zero);
}

template <class V>
inline V magnitude(V value) {
  return value < 0 ? -value : value;
}

template <class T>
inline void add_distances(Two<T>& sums, const T* features, const T* target, T* activated, int64_t i, int64_t count) {
  Two<T> value = load_two(features + i, count);
  if (activated != nullptr) {
    value = {after_relu(value.first), after_relu(value.second)};
    store_two(activated + i, value, count);
  }
  const Two<T> wanted = load_two(target + i, count);
  sums.first += magnitude(value.first - wanted.first);
  sums.second += magnitude(value.second - wanted.second);
}

template <class T>
double sum_of_run(const T* features, const T* target, T* activated, int64_t begin, int64_t end) {
  Two<T> sums[kChains] = {};
  int64_t i = begin;
  for (; i + kChains * kStep<T> <= end; i += kChains * kStep<T>) {
#pragma GCC unroll 2
    for (int64_t k = 0; k < kChains; ++k)
      add_distances(sums[k], features, target, activated, i + k * kStep<T>, kStep<T>);
  }
  for (; i < end; i += kStep<T>) add_distances(sums[0], features, target, activated, i, std::min(kStep<T>, end - i));
  Wide<T> lanes[kLanes<Wide<T>>];
  store(lanes, (sums[0].first + sums[0].second) + (sums[1].first + sums[1].second));
  double sum = 0;
  for (const Wide<T> lane : lanes) sum += static_cast<double>(lane);
  return sum;
}

template <class T>
double distance_forward(const T* features, const T* target, T* activated, int64_t begin, int64_t end) {
  double sum = 0;
  for (int64_t i = begin; i < end; i += kRun)
    sum += sum_of_run(features, target, activated, i, std::min(i + kRun, end));
  return sum;
}

template <class T>
inline void differentiate(const DistanceGradients<T>& gradients, const T* activated, const T* target, bool relu,
                          int64_t i, int64_t count) {
  const Two<T> value = load_two(activated + i, count);
  const Vector<Wide<T>> zero = {};
  Two<T> gradient = {};
  if (gradients.distant) {
    const Two<T> wanted = load_two(target + i, count);
    gradient = {sign(value.first - wanted.first) * gradients.by_number,
                sign(value.second - wanted.second) * gradients.by_number};
  }
  if (gradients.grad_target != nullptr)
    store_two<T>(gradients.grad_target + i, {-gradient.first, -gradient.second}, count);
  if (gradients.grad_features == nullptr) return;
  if (gradients.grad_activated != nullptr) {
    const Two<T> given = load_two(gradients.grad_activated + i, count);
    gradient = {gradient.first + given.first, gradient.second + given.second};
  }
  if (relu) gradient = {value.first <= 0 ? zero : gradient.first, value.second <= 0 ? zero : gradient.second};
  store_two(gradients.grad_features + i, gradient, count);
}

template <class T>
void distance_backward(const DistanceGradients<T>& gradients, const T* activated, const T* target, bool relu,
                       int64_t begin, int64_t end) {
  int64_t i = begin;
  for (; i + kStep<T> <= end; i += kStep<T>) differentiate(gradients, activated, target, relu, i, kStep<T>);
  if (i < end) differentiate(gradients, activated, target, relu, i, end - i);
}

template <class T>
constexpr DistanceKernels<T> kKernels{distance_forward<T>, distance_backward<T>};

}  // namespace

namespace TRYON_KERNELS_VARIANT {
extern const Table<DistanceKernels> kDistance;
constinit const Table<DistanceKernels> kDistance{kKernels<float>, kKernels<double>, kKernels<Half>, kKernels<BFloat16>};
}  // namespace TRYON_KERNELS_VARIANT
}  // namespace tryon_kernels
