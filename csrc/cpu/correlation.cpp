#include "cpu/ops.h"
#include "cpu/volume.h"

namespace tryon_kernels::cpu {
namespace {

int64_t centres(int64_t size, int64_t stride) { return (size + stride - 1) / stride; }

CorrelationSizes check(const Tensor& first, const Tensor& second, int64_t radius, int64_t stride,
                       std::optional<double> negative_slope, bool mean, bool gradients) {
  check_image("first", first);
  check_shape("second", second, {first.size(0), first.size(1), first.size(2), first.size(3)});
  check_dtype("second", second, first.scalar_type());
  check_volume_options(radius, negative_slope);
  STD_TORCH_CHECK(stride >= 1, "stride: got ", stride, ", expected 1 or more");
  CorrelationSizes sizes =
      sizes_for(second, centres(second.size(2), stride), centres(second.size(3), stride), radius, gradients);
  if (!mean) sizes.divisor = 1;
  return sizes;
}

// Every stride-th row and column of an image.
template <class T>
Image<T> strided(Image<T> image, int64_t stride) {
  return {image.data, image.image, image.channel, image.row * stride, image.column * stride};
}

}  // namespace

Tensor correlation(const Tensor& first, const Tensor& second, int64_t radius, int64_t stride,
                   std::optional<double> negative_slope, bool mean) {
  const CorrelationSizes sizes = check(first, second, radius, stride, negative_slope, mean, false);
  Tensor output = new_output(first, volume_shape(first.size(0), sizes), first.scalar_type());
  if (first.numel() == 0) return torch::stable::zero_(output);
  with_number_type("first", first, [&]<class T>(T) {
    const auto from = strided(image_of<const T>(first), stride), around = strided(image_of<const T>(second), stride);
    const auto to = image_of<T>(output);
    const auto& kernels = correlation_kernels<T>();
    const auto activation = activation_of<T>(negative_slope, std::nullopt);
    for_each_range_of_strips<T>(sizes, first.size(0), 0, [&](void* workspace, void*, int64_t begin, int64_t end) {
      kernels.forward(sizes, {from}, around, activation, to, workspace, begin, end);
    });
  });
  return output;
}

std::tuple<Tensor, Tensor> correlation_backward(const Tensor& grad_output, const Tensor& first, const Tensor& second,
                                                const std::optional<Tensor>& output, int64_t radius, int64_t stride,
                                                std::optional<double> negative_slope, bool mean, bool first_needed,
                                                bool second_needed) {
  const CorrelationSizes sizes = check(first, second, radius, stride, negative_slope, mean, true);
  check_volume_gradient(grad_output, output, negative_slope, volume_shape(first.size(0), sizes), first.scalar_type());
  Tensor grad_first = new_gradient(first, first_needed), grad_second = new_gradient(second, second_needed);
  if (first.numel() == 0) return {grad_first, grad_second};
  with_number_type("first", first, [&]<class T>(T) {
    const auto grad = image_of<const T>(grad_output);
    const auto& kernels = correlation_kernels<T>();
    const auto activation = activation_of<T>(negative_slope, output);
    const auto differentiate = [&](Operand operand, const Tensor& other, Tensor& gradient) {
      if (stride > 1) torch::stable::zero_(gradient);
      const auto from = strided(image_of<const T>(other), stride);
      const auto to = strided(image_of<T>(gradient), stride);
      for_each_range_of_strips<T>(sizes, first.size(0), 0, [&](void* workspace, void*, int64_t begin, int64_t end) {
        kernels.backward(sizes, operand, grad, activation, {from}, {to}, workspace, begin, end);
      });
    };
    if (first_needed) differentiate(Operand::kFirst, second, grad_first);
    if (second_needed) differentiate(Operand::kSecond, first, grad_second);
  });
  return {grad_first, grad_second};
}

}  // namespace tryon_kernels::cpu
