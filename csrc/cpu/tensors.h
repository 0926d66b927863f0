#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <array>
#include <string>

#include "cpu/kernels/scalar.h"
#include "torch_tensors.h"

// Checks of tensors, and new ones.
namespace tryon_kernels {

inline void check_image(const char* name, const Tensor& tensor) {
  STD_TORCH_CHECK(tensor.is_cpu(), name, ": expected a CPU tensor");
  STD_TORCH_CHECK(tensor.dim() == 4, name, ": got shape ", shape_of(tensor), ", expected N x C x H x W");
}

using Four = std::array<int64_t, 4>;

inline Four shape_of_four(const Tensor& tensor) {
  return {tensor.size(0), tensor.size(1), tensor.size(2), tensor.size(3)};
}

inline void check_shape(const char* name, const Tensor& tensor, const Four& wanted) {
  STD_TORCH_CHECK(tensor.dim() == 4 && shape_of_four(tensor) == wanted, name, ": got shape ", shape_of(tensor),
                  ", expected ", wanted[0], " x ", wanted[1], " x ", wanted[2], " x ", wanted[3]);
  STD_TORCH_CHECK(tensor.is_cpu(), name, ": expected a CPU tensor");
}

inline void check_dtype(const char* name, const Tensor& tensor, ScalarType wanted) {
  STD_TORCH_CHECK(tensor.scalar_type() == wanted, name, ": got ", toString(tensor.scalar_type()), ", expected ",
                  toString(wanted));
}

// Calls body with a value of the tensor's number type.
template <class Body>
void with_number_type(const char* name, const Tensor& tensor, const Body& body) {
  with_type_among<Half, BFloat16>(name, tensor, body);
}

inline ScalarType wide_type(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// Strides as torch has them where sizes are 0, too.
inline Four contiguous(const Four& shape) {
  Four strides{1, 1, 1, 1};
  for (int axis = 2; axis >= 0; --axis) strides[axis] = strides[axis + 1] * std::max<int64_t>(shape[axis + 1], 1);
  return strides;
}

// Uninitialised, on the CPU. torch::stable::empty would look its op up by name each time, which takes as long as a
// small kernel.
inline Tensor new_tensor(const Four& shape, const Four& strides, ScalarType dtype) {
  using torch::stable::detail::from, torch::stable::detail::to;
  AtenTensorHandle tensor;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(4, shape.data(), strides.data(), to<int32_t>(from(dtype)),
                                                         aoti_torch_device_type_cpu(), 0, &tensor));
  return Tensor(tensor);
}

// Uninitialised tensor in the memory format of the one that it is computed from.
inline Tensor new_output(const Tensor& like, const Four& shape, ScalarType dtype) {
  const bool channels_together = like.size(1) > 1 && like.stride(1) == 1;
  if (!channels_together || like.is_contiguous()) return new_tensor(shape, contiguous(shape), dtype);
  const auto [n, c, h, w] = shape;
  return new_tensor(shape, {h * w * c, 1, w * c, c}, dtype);
}

// Uninitialised gradient; a tensor without elements stands for one that is not needed.
inline Tensor new_gradient(const Tensor& tensor, bool needed) {
  if (!needed) return torch::stable::new_empty(tensor, {0});
  if (!tensor.is_contiguous()) return torch::stable::empty_like(tensor);
  const Four shape = shape_of_four(tensor);
  return new_tensor(shape, contiguous(shape), tensor.scalar_type());
}

}  // namespace tryon_kernels
