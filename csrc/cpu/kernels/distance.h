#pragma once

#include <cstdint>

#include "cpu/kernels/scalar.h"

// The mean distance of features, after ReLU, from a target, for numbers that lie one after the other in memory.
namespace tryon_kernels {

// So many distances are added up on their own, whoever does it: the sum is the same for any number of threads.
constexpr int64_t kDistanceBlock = 16384;

// The gradients of the results that there are, and which gradients are wanted: null for none.
template <class T>
struct DistanceGradients {
  const T* grad_activated;
  bool distant;       // is there one of the distance? If not, the target is not read
  Wide<T> by_number;  // that by each number's distance: the mean's over their count
  T *grad_features, *grad_target;
};

// Each function works on the numbers [begin, end).
template <class T>
struct DistanceKernels {
  // Writes the features after ReLU to `activated`, which is null where there is no ReLU. Returns the sum of distances.
  double (*forward)(const T* features, const T* target, T* activated, int64_t begin, int64_t end);
  void (*backward)(const DistanceGradients<T>& gradients, const T* activated, const T* target, bool relu, int64_t begin,
                   int64_t end);
};

}  // namespace tryon_kernels
