#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <string>
#include <type_traits>

#include "image.h"

// From torch's tensors to plain pointers and types.
namespace tryon_kernels {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string shape_of(const Tensor& tensor) {
  std::string text;
  for (int64_t i = 0; i < tensor.dim(); ++i) text += (i ? " x " : "") + std::to_string(tensor.size(i));
  return text.empty() ? "() (a scalar)" : text;
}

// Calls body with a value of the tensor's number type, of which the half formats have other names on a GPU.
template <class HalfType, class BFloat16Type, class Body>
void with_type_among(const char* name, const Tensor& tensor, const Body& body) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return body(float{});
    case ScalarType::Double:
      return body(double{});
    case ScalarType::Half:
      return body(HalfType{});
    case ScalarType::BFloat16:
      return body(BFloat16Type{});
    default:
      STD_TORCH_CHECK(false, name, ": got ", toString(tensor.scalar_type()),
                      ", expected Half, BFloat16, Float or Double");
  }
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

}  // namespace tryon_kernels
