#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <string>
#include <type_traits>
#include <vector>

#include "cpu/kernels/image.h"
#include "cpu/kernels/scalar.h"

// From torch's tensors to the kernels' plain pointers.
namespace tryon_kernels {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string shape_of(const Tensor& tensor) {
  std::string text;
  for (int64_t i = 0; i < tensor.dim(); ++i) text += (i ? " x " : "") + std::to_string(tensor.size(i));
  return text.empty() ? "() (a scalar)" : text;
}

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
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return body(float{});
    case ScalarType::Double:
      return body(double{});
    case ScalarType::Half:
      return body(Half{});
    case ScalarType::BFloat16:
      return body(BFloat16{});
    default:
      STD_TORCH_CHECK(false, name, ": got ", toString(tensor.scalar_type()),
                      ", expected Half, BFloat16, Float or Double");
  }
}

inline ScalarType wide_type(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// The tensor's memory as an image of T; const where T is.
template <class T>
Image<T> image_of(const Tensor& tensor) {
  T* data;
  if constexpr (std::is_const_v<T>) {
    data = static_cast<T*>(tensor.const_data_ptr());
  } else {
    data = static_cast<T*>(tensor.mutable_data_ptr());
  }
  return {data, tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
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
