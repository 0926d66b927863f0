#pragma once

#include <torch/csrc/stable/ops.h>

#include <string>
#include <vector>

#include "cpu/kernels/scalar.h"
#include "torch_tensors.h"

// Checks of tensors, and new ones.
namespace tryon_kernels {

inline void check_image(const char* name, const Tensor& tensor) {
  STD_TORCH_CHECK(tensor.is_cpu(), name, ": expected a CPU tensor");
  STD_TORCH_CHECK(tensor.dim() == 4, name, ": got shape ", shape_of(tensor), ", expected N x C x H x W");
}

inline void check_shape(const char* name, const Tensor& tensor, const std::vector<int64_t>& wanted) {
  bool same = tensor.dim() == static_cast<int64_t>(wanted.size());
  for (size_t i = 0; same && i < wanted.size(); ++i) same = tensor.size(static_cast<int64_t>(i)) == wanted[i];
  std::string text;
  for (size_t i = 0; i < wanted.size(); ++i) text += (i ? " x " : "") + std::to_string(wanted[i]);
  STD_TORCH_CHECK(same, name, ": got shape ", shape_of(tensor), ", expected ", text);
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

// Uninitialised tensor in the memory format of the one that it is computed from.
inline Tensor new_output(const Tensor& like, const std::vector<int64_t>& shape, ScalarType dtype) {
  using torch::headeronly::MemoryFormat;
  const bool channels_together = like.size(1) > 1 && like.stride(1) == 1;
  const MemoryFormat format =
      channels_together && !like.is_contiguous() ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
  return torch::stable::empty(shape, dtype, std::nullopt, like.device(), std::nullopt, format);
}

// Uninitialised gradient; a tensor without elements stands for one that is not needed.
inline Tensor new_gradient(const Tensor& tensor, bool needed) {
  return needed ? torch::stable::empty_like(tensor) : torch::stable::new_empty(tensor, {0});
}

}  // namespace tryon_kernels
