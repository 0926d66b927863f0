#include "cuda/device/distance.cuh"
#include "cuda/launch.h"
#include "cuda/ops.h"

namespace tryon_kernels::cuda {
namespace {

template <class T>
T* data_of(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

template <class T>
T* data_of(const std::optional<Tensor>& tensor) {
  return tensor ? data_of<T>(*tensor) : nullptr;
}

template <class... Pointers>
bool all_aligned(Pointers... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % kVectorBytes == 0) && ...);
}

template <class T>
void launch_measure(const Tensor& features, const Tensor& target, const std::optional<Tensor>& activated,
                    const Tensor& sums) {
  const T *from = data_of<T>(features), *wanted = data_of<T>(target);
  T* const to = data_of<T>(activated);
  launch("measure", features, measure_distances<T>, dim3(static_cast<unsigned>(sums.numel())), dim3(kDistanceThreads),
         0, from, wanted, to, data_of<Wide<T>>(sums), Extent{features.numel(), all_aligned(from, wanted, to)});
}

template <class T>
void launch_differentiate(const DistanceGradients<T>& gradients, const Tensor& activated, const Tensor& target,
                          bool relu) {
  const T *from = data_of<T>(activated), *wanted = data_of<T>(target);
  const bool aligned =
      all_aligned(from, wanted, gradients.grad_activated, gradients.grad_features, gradients.grad_target);
  const int64_t count = activated.numel();
  launch("differentiate_distance", activated, differentiate_distances<T>,
         dim3(static_cast<unsigned>(parts(count, kDistances))), dim3(kDistanceThreads), 0, gradients, from, wanted,
         relu, Extent{count, aligned});
}

}  // namespace

void measure(const Tensor& features, const Tensor& target, const std::optional<Tensor>& activated, Tensor sums) {
  const int64_t blocks = parts(features.numel(), kDistances);
  STD_TORCH_CHECK(sums.numel() == blocks, "sums: got ", sums.numel(), ", expected ", blocks);
  with_number_type("features", features,
                   [&](auto number) { launch_measure<decltype(number)>(features, target, activated, sums); });
}

void differentiate_distance(const std::optional<Tensor>& grad_activated, const std::optional<Tensor>& grad_distance,
                            const Tensor& activated, const Tensor& target, bool relu,
                            const std::optional<Tensor>& grad_features, const std::optional<Tensor>& grad_target) {
  with_number_type("activated", activated, [&](auto number) {
    using T = decltype(number);
    const DistanceGradients<T> gradients = {data_of<T>(grad_activated), data_of<Wide<T>>(grad_distance),
                                            data_of<T>(grad_features), data_of<T>(grad_target)};
    launch_differentiate(gradients, activated, target, relu);
  });
}

}  // namespace tryon_kernels::cuda
