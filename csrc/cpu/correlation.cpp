#include "cpu/kernels/correlation.h"

#include "cpu/ops.h"
#include "cpu/tensors.h"
#include "cpu/threads.h"
#include "cpu/variants.h"

namespace tryon_kernels::cpu {
namespace {

int64_t centres(int64_t size, int64_t stride) { return (size + stride - 1) / stride; }

Window check(const Tensor& first, const Tensor& second, int64_t radius, int64_t stride,
             std::optional<double> negative_slope) {
  check_image("first", first);
  check_shape("second", second, {first.size(0), first.size(1), first.size(2), first.size(3)});
  check_dtype("second", second, first.scalar_type());
  STD_TORCH_CHECK(radius >= 0, "radius: got ", radius, ", expected 0 or more");
  STD_TORCH_CHECK(stride >= 1, "stride: got ", stride, ", expected 1 or more");
  STD_TORCH_CHECK(!negative_slope || *negative_slope >= 0, "negative_slope: got ", negative_slope.value_or(0),
                  ", expected None or a number of 0 or more");
  return {first.size(1), centres(first.size(2), stride), centres(first.size(3), stride), radius};
}

std::vector<int64_t> volume_shape(const Tensor& first, const Window& window) {
  return {first.size(0), window.side() * window.side(), window.height, window.width};
}

// Every stride-th row and column of an image.
template <class T>
Image<T> strided(Image<T> image, int64_t stride) {
  return {image.data, image.image, image.channel, image.row * stride, image.column * stride};
}

// Calls body(workspace, begin, end) on as many ranges of pieces as there are threads, each with memory of its own.
template <class T, class Body>
void for_each_range_of_pieces(const Window& window, int64_t images, const Body& body) {
  const CorrelationPlan plan = correlation_kernels<T>().plan(window);
  const int64_t pieces = images * plan.pieces, ranges = std::min(pieces, thread_count());
  const Tensor workspace = torch::stable::empty({ranges * plan.workspace + kWorkspaceAlignment}, ScalarType::Byte);
  const auto address = reinterpret_cast<uintptr_t>(workspace.mutable_data_ptr());
  const uintptr_t aligned = (address + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
  const int64_t image_cost = window.height * window.width * window.channels * window.side() * window.side();
  for_each_range(ranges, images * image_cost / std::max<int64_t>(1, ranges), [&](int64_t first, int64_t last) {
    for (int64_t range = first; range < last; ++range) {
      body(reinterpret_cast<void*>(aligned + range * plan.workspace), pieces * range / ranges,
           pieces * (range + 1) / ranges);
    }
  });
}

}  // namespace

Tensor correlation(const Tensor& first, const Tensor& second, int64_t radius, int64_t stride,
                   std::optional<double> negative_slope) {
  const Window window = check(first, second, radius, stride, negative_slope);
  const Tensor output = new_output(first, volume_shape(first, window), first.scalar_type());
  with_number_type("first", first, [&]<class T>(T) {
    const auto from = strided(image_of<const T>(first), stride), around = strided(image_of<const T>(second), stride);
    const auto to = image_of<T>(output);
    const auto& kernels = correlation_kernels<T>();
    const Activation<T> activation{static_cast<Wide<T>>(negative_slope.value_or(1)), {}, negative_slope.has_value()};
    for_each_range_of_pieces<T>(window, first.size(0), [&](void* workspace, int64_t begin, int64_t end) {
      kernels.forward(window, from, around, activation, to, workspace, begin, end);
    });
  });
  return output;
}

std::tuple<Tensor, Tensor> correlation_backward(const Tensor& grad_output, const Tensor& first, const Tensor& second,
                                                const std::optional<Tensor>& output, int64_t radius, int64_t stride,
                                                std::optional<double> negative_slope, bool first_needed,
                                                bool second_needed) {
  const Window window = check(first, second, radius, stride, negative_slope);
  check_shape("grad_output", grad_output, volume_shape(first, window));
  check_dtype("grad_output", grad_output, first.scalar_type());
  STD_TORCH_CHECK(output.has_value() == negative_slope.has_value(),
                  "output: expected exactly where there is a negative_slope");
  if (output) {
    check_shape("output", *output, volume_shape(first, window));
    check_dtype("output", *output, first.scalar_type());
  }
  Tensor grad_first = new_gradient(first, first_needed), grad_second = new_gradient(second, second_needed);
  with_number_type("first", first, [&]<class T>(T) {
    const auto grad = image_of<const T>(grad_output);
    const auto& kernels = correlation_kernels<T>();
    Activation<T> activation{static_cast<Wide<T>>(negative_slope.value_or(1)), {}, output.has_value()};
    if (output) activation.output = image_of<const T>(*output);
    const auto differentiate = [&](Operand operand, const Tensor& other, Tensor& gradient) {
      if (stride > 1) torch::stable::zero_(gradient);
      const auto from = strided(image_of<const T>(other), stride);
      const auto to = strided(image_of<T>(gradient), stride);
      for_each_range_of_pieces<T>(window, first.size(0), [&](void* workspace, int64_t begin, int64_t end) {
        kernels.backward(window, operand, grad, activation, from, to, workspace, begin, end);
      });
    };
    if (first_needed) differentiate(Operand::kFirst, second, grad_first);
    if (second_needed) differentiate(Operand::kSecond, first, grad_second);
  });
  return {grad_first, grad_second};
}

}  // namespace tryon_kernels::cpu
