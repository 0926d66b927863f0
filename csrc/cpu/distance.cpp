#include "cpu/kernels/distance.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "cpu/ops.h"
#include "cpu/tensors.h"
#include "cpu/threads.h"
#include "cpu/variants.h"

namespace tryon_kernels::cpu {
namespace {

void check_number_type(const char* name, const Tensor& tensor) {
  STD_TORCH_CHECK(tensor.is_cpu(), name, ": expected a CPU tensor");
  with_number_type(name, tensor, [](auto) {});
}

void check_like(const char* name, const Tensor& tensor, const Tensor& like) {
  bool same = tensor.dim() == like.dim();
  for (int64_t axis = 0; same && axis < like.dim(); ++axis) same = tensor.size(axis) == like.size(axis);
  STD_TORCH_CHECK(same, name, ": got shape ", shape_of(tensor), ", expected ", shape_of(like));
  STD_TORCH_CHECK(tensor.is_cpu(), name, ": expected a CPU tensor");
  check_dtype(name, tensor, like.scalar_type());
}

void check_scalar(const char* name, const Tensor& tensor, ScalarType wanted) {
  STD_TORCH_CHECK(tensor.dim() == 0, name, ": got shape ", shape_of(tensor), ", expected a scalar");
  STD_TORCH_CHECK(tensor.is_cpu(), name, ": expected a CPU tensor");
  check_dtype(name, tensor, wanted);
}

// Whether a tensor's numbers lie one after the other, whichever axis comes first.
bool is_dense(const Tensor& tensor) {
  std::vector<int64_t> axes(tensor.dim());
  std::iota(axes.begin(), axes.end(), 0);
  std::sort(axes.begin(), axes.end(), [&](int64_t a, int64_t b) { return tensor.stride(a) < tensor.stride(b); });
  int64_t next = 1;
  for (const int64_t axis : axes) {
    if (tensor.size(axis) == 1) continue;
    if (tensor.stride(axis) != next) return false;
    next *= tensor.size(axis);
  }
  return true;
}

// The same numbers, one after the other.
Tensor dense(const Tensor& tensor) { return is_dense(tensor) ? tensor : torch::stable::clone(tensor); }

// The same numbers in the order of a dense tensor.
Tensor laid_as(const Tensor& like, const Tensor& tensor) {
  bool same = true;
  for (int64_t axis = 0; axis < like.dim(); ++axis)
    same = same && (like.size(axis) == 1 || tensor.stride(axis) == like.stride(axis));
  if (same) return tensor;
  Tensor copy = torch::stable::empty_like(like);
  return torch::stable::copy_(copy, tensor);
}

template <class T>
T* data_of(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

template <class T>
const T* constants_of(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

Tensor new_like(const Tensor& tensor, bool needed) {
  return needed ? torch::stable::empty_like(tensor) : torch::stable::new_empty(tensor, {0});
}

}  // namespace

std::tuple<Tensor, Tensor> feature_distance(const Tensor& features, const Tensor& target, bool relu) {
  check_number_type("features", features);
  check_like("target", target, features);
  const Tensor from = dense(features), to = laid_as(from, target);
  Tensor activated = new_like(from, relu), distance = torch::stable::new_empty(features, {}, wide_type(features));
  const int64_t count = features.numel(), blocks = (count + kDistanceBlock - 1) / kDistanceBlock;
  std::vector<double> sums(blocks);
  with_number_type("features", features, [&]<class T>(T) {
    const auto& kernels = distance_kernels<T>();
    const T *numbers = constants_of<T>(from), *wanted = constants_of<T>(to);
    T* const written = relu ? data_of<T>(activated) : nullptr;
    for_each_range(blocks, kDistanceBlock, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * kDistanceBlock, last = std::min(first + kDistanceBlock, count);
        sums[block] = kernels.forward(numbers, wanted, written, first, last);
      }
    });
    const double sum = std::accumulate(sums.begin(), sums.end(), 0.0);
    *data_of<Wide<T>>(distance) = static_cast<Wide<T>>(sum / static_cast<double>(count));
  });
  return {activated, distance};
}

std::tuple<Tensor, Tensor> feature_distance_backward(const std::optional<Tensor>& grad_activated,
                                                     const std::optional<Tensor>& grad_distance,
                                                     const Tensor& activated, const Tensor& target, bool relu,
                                                     bool features_needed, bool target_needed) {
  check_number_type("activated", activated);
  check_like("target", target, activated);
  if (grad_activated) check_like("grad_activated", *grad_activated, activated);
  if (grad_distance) check_scalar("grad_distance", *grad_distance, wide_type(activated));
  const Tensor from = dense(activated), to = grad_distance ? laid_as(from, target) : target;
  const Tensor given = grad_activated && features_needed ? laid_as(from, *grad_activated) : from;
  Tensor grad_features = new_like(from, features_needed), grad_target = new_like(from, target_needed);
  const int64_t count = activated.numel();
  with_number_type("activated", activated, [&]<class T>(T) {
    const auto& kernels = distance_kernels<T>();
    DistanceGradients<T> gradients = {};
    if (grad_activated) gradients.grad_activated = constants_of<T>(given);
    if (grad_distance) {
      gradients.distant = true;
      gradients.by_number = *constants_of<Wide<T>>(*grad_distance) / static_cast<Wide<T>>(count);
    }
    if (features_needed) gradients.grad_features = data_of<T>(grad_features);
    if (target_needed) gradients.grad_target = data_of<T>(grad_target);
    const T *numbers = constants_of<T>(from), *wanted = constants_of<T>(to);
    for_each_range(count, 1,
                   [&](int64_t begin, int64_t end) { kernels.backward(gradients, numbers, wanted, relu, begin, end); });
  });
  return {grad_features, grad_target};
}

}  // namespace tryon_kernels::cpu
