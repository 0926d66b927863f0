#pragma once

#include <string>

#include "cpu/kernels/sample.h"
#include "cpu/tensors.h"

// From torch's tensors of positions to what the sampling kernels take.
namespace tryon_kernels::cpu {

// Where the positions' tensor holds what: N x 2 x Ho x Wo for a flow, N x Ho x Wo x 2 for a grid.
struct Axes {
  const char* name;
  int axis, row, column;
};
inline constexpr Axes kFlow{"flow", 1, 2, 3};
inline constexpr Axes kGrid{"grid", 3, 1, 2};

template <class P>
Positions<P> positions_of(const Tensor& tensor, const Axes& axes) {
  const Image<P> image = image_of<P>(tensor);
  return {image.data, image.image, tensor.stride(axes.axis), tensor.stride(axes.row), tensor.stride(axes.column)};
}

inline Sampling check_sampling(const char* name, const Tensor& input, const Tensor& positions, const Axes& axes,
                               const std::string& padding_mode, Coordinates coordinates) {
  check_image(name, input);
  STD_TORCH_CHECK(input.size(2) > 0 && input.size(3) > 0, name, ": got shape ", shape_of(input),
                  ", expected a height and width of 1 or more");
  STD_TORCH_CHECK(input.size(2) < INT32_MAX && input.size(3) < INT32_MAX, name, ": got shape ", shape_of(input),
                  ", expected a height and width below ", INT32_MAX);
  STD_TORCH_CHECK(positions.is_cpu(), axes.name, ": expected a CPU tensor");
  STD_TORCH_CHECK(positions.dim() == 4 && positions.size(axes.axis) == 2, axes.name, ": got shape ",
                  shape_of(positions), ", expected N x ", axes.axis == 1 ? "2 x Ho x Wo" : "Ho x Wo x 2");
  STD_TORCH_CHECK(positions.size(0) == input.size(0), axes.name, ": got a batch of ", positions.size(0),
                  ", expected that of ", name, ", ", input.size(0));
  check_dtype(axes.name, positions, wide_type(input));
  STD_TORCH_CHECK(padding_mode == "border" || padding_mode == "zeros", "padding_mode: got \"", padding_mode,
                  "\", expected \"zeros\" or \"border\"");
  return {coordinates,
          padding_mode == "border",
          input.size(1),
          input.size(2),
          input.size(3),
          positions.size(axes.row),
          positions.size(axes.column)};
}

inline Coordinates coordinates_of(bool align_corners) {
  return align_corners ? Coordinates::kCornersAligned : Coordinates::kEdgesAligned;
}

}  // namespace tryon_kernels::cpu
