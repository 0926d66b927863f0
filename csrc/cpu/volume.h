#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "cpu/kernels/correlation.h"
#include "cpu/tensors.h"
#include "cpu/threads.h"
#include "cpu/variants.h"

// What the ops that make a correlation volume have in common.
namespace tryon_kernels::cpu {

inline void check_volume_options(int64_t radius, std::optional<double> negative_slope) {
  STD_TORCH_CHECK(radius >= 0, "radius: got ", radius, ", expected 0 or more");
  STD_TORCH_CHECK(!negative_slope || *negative_slope >= 0, "negative_slope: got ", negative_slope.value_or(0),
                  ", expected None or a number of 0 or more");
}

inline Four volume_shape(int64_t images, const CorrelationSizes& sizes) {
  return {images, sizes.side() * sizes.side(), sizes.height, sizes.width};
}

// Rows of a band. Every plane is another page of memory, so where channels lie in planes a visit of each is to read
// or write many rows, if these and what is around them stay in the second-level cache. Gradients, which have no sums to
// add up, gain from more rows anyway.
template <class T>
int64_t band_rows(const CorrelationSizes& sizes, bool planes, bool gradients) {
  constexpr int64_t kGradientRows = 4;
  const auto& kernels = correlation_kernels<T>();
  const bool fit = (sizes.side() + kMostRows) * sizes.width * sizes.channels <= kernels.fitting;
  if (planes && fit) return gradients ? kMostRows : kernels.rows_of_planes;
  return gradients ? kGradientRows : kernels.rows;
}

// For the volume of maps like `second`, or for its gradients. All threads are to get some bands.
inline CorrelationSizes sizes_for(const Tensor& second, int64_t height, int64_t width, int64_t radius, bool gradients) {
  CorrelationSizes sizes{second.size(1), height, width, radius};
  int64_t rows = 0;
  with_number_type("second", second, [&]<class T>(T) { rows = band_rows<T>(sizes, second.stride(1) != 1, gradients); });
  if (second.size(0) * ((height + rows - 1) / rows) >= 2 * thread_count()) sizes.band_rows = rows;
  return sizes;
}

// The volume's gradient, and the volume itself where its signs say which slope it took.
inline void check_volume_gradient(const Tensor& grad_output, const std::optional<Tensor>& output,
                                  std::optional<double> negative_slope, const Four& shape, ScalarType dtype) {
  check_shape("grad_output", grad_output, shape);
  check_dtype("grad_output", grad_output, dtype);
  STD_TORCH_CHECK(output.has_value() == negative_slope.has_value(),
                  "output: expected exactly where there is a negative_slope");
  if (!output) return;
  check_shape("output", *output, shape);
  check_dtype("output", *output, dtype);
}

template <class T>
Activation<T> activation_of(std::optional<double> negative_slope, const std::optional<Tensor>& output) {
  Activation<T> activation{static_cast<Wide<T>>(negative_slope.value_or(1)), {}, negative_slope.has_value()};
  if (output) activation.output = image_of<const T>(*output);
  return activation;
}

inline int64_t aligned(int64_t bytes) {
  return (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
}

// Memory that holds nothing yet.
struct Spare {
  void* data;
  int64_t bytes;

  int64_t holds(int64_t workspace) const {
    return std::max<int64_t>(0, bytes - kWorkspaceAlignment) / aligned(std::max<int64_t>(1, workspace));
  }
};

constexpr int64_t kSomeThreads = 4;  // are enough to do with where more of them would need more memory

// Calls body(workspace, begin, end) on as many ranges of [0, count) as there are threads, each with memory of its own,
// of so many bytes. The spare memory serves if it holds enough for some of them, and then no others run. All together
// are said to cost so many multiplications.
template <class Body>
void for_each_range_with_workspace(int64_t count, int64_t cost, int64_t bytes, const Spare& spare, const Body& body) {
  const int64_t wanted = std::min(count, thread_count()), held = spare.holds(bytes);
  if (wanted == 0) return;
  const bool enough = held >= std::min(wanted, kSomeThreads);
  const int64_t ranges = enough ? std::min(wanted, held) : wanted;
  const Tensor memory =
      torch::stable::empty({enough ? 0 : ranges * aligned(bytes) + kWorkspaceAlignment}, ScalarType::Byte);
  const int64_t start = aligned(reinterpret_cast<int64_t>(enough ? spare.data : memory.mutable_data_ptr()));
  for_each_range(ranges, cost / ranges, [&](int64_t first, int64_t last) {
    for (int64_t range = first; range < last; ++range)
      body(reinterpret_cast<char*>(start + range * aligned(bytes)), count * range / ranges,
           count * (range + 1) / ranges);
  });
}

// Multiplications for all displacements of one image.
inline int64_t image_cost(const CorrelationSizes& sizes) {
  return sizes.height * sizes.width * sizes.channels * sizes.side() * sizes.side();
}

// Calls body(workspace, more, begin, end) for ranges of all images' strips: the plan's workspace and so many bytes
// more.
template <class T, class Body>
void for_each_range_of_strips(const CorrelationSizes& sizes, int64_t images, int64_t bytes, const Body& body) {
  const CorrelationPlan plan = correlation_kernels<T>().plan(sizes);
  for_each_range_with_workspace(
      images * plan.strips, images * image_cost(sizes), plan.workspace + bytes, Spare{nullptr, 0},
      [&](char* workspace, int64_t begin, int64_t end) { body(workspace, workspace + plan.workspace, begin, end); });
}

}  // namespace tryon_kernels::cpu
