#include "cpu/ops.h"
#include "cpu/sampling.h"
#include "cpu/volume.h"
#include "cpu/warped_backward.h"
#include "cpu/warped_rows.h"

// The warped features are never in memory as a whole, and neither is their gradient: threads make rows of the one as
// the correlation's kernels come to them, and take rows of the other as the kernels leave them.
//
//    forward              first --sample--> [rows of W] --multiply with second--> volume
//    gradient of second   first --sample--> [rows of W] --gather by dvolume--> dsecond
//    the two others       dvolume --gather of second--> [rows of dW] --scatter--> dfirst
//                                                                   --sum up----> dgrid
//
// W are the warped features, d stands for a gradient, and what is in brackets is a few rows, in a thread's workspace.
namespace tryon_kernels::cpu {
namespace {

Problem check(const Tensor& first, const Tensor& second, const Tensor& grid, int64_t radius,
              std::optional<double> negative_slope, const std::string& padding_mode, bool align_corners) {
  const Sampling sampling = check_sampling("first", first, grid, kGrid, padding_mode, coordinates_of(align_corners));
  check_shape("second", second, {first.size(0), first.size(1), sampling.out_height, sampling.out_width});
  check_dtype("second", second, first.scalar_type());
  check_volume_options(radius, negative_slope);
  // The second map's gradient takes the volume's bands too: taller ones need memory, which is what this op is to save.
  return {sampling, sizes_for(second, sampling.out_height, sampling.out_width, radius, false), first.size(0)};
}

// Calls body(warped, workspace, begin, end) on ranges of the volume's strips, with the warped features' rows for each.
template <class T, class Body>
void for_each_range_of_warped_strips(const Problem& problem, const Tensor& first, const Tensor& grid,
                                     const Body& body) {
  const auto from = image_of<const T>(first);
  const auto at = positions_of<const Wide<T>>(grid, kGrid);
  const int64_t bytes = Rows<T>::bytes(problem.sizes.channels, problem.sizes.width);
  for_each_range_of_strips<T>(problem.sizes, problem.images, bytes,
                              [&](void* workspace, void* rows, int64_t begin, int64_t end) {
                                WarpedRows<T> warped(problem.sampling, from, at, rows);
                                body(warped.source(), workspace, begin, end);
                              });
}

}  // namespace

Tensor warp_correlation(const Tensor& first, const Tensor& second, const Tensor& grid, int64_t radius,
                        std::optional<double> negative_slope, const std::string& padding_mode, bool align_corners) {
  const Problem problem = check(first, second, grid, radius, negative_slope, padding_mode, align_corners);
  Tensor output = new_output(first, volume_shape(problem.images, problem.sizes), first.scalar_type());
  if (second.numel() == 0) return torch::stable::zero_(output);
  with_number_type("first", first, [&]<class T>(T) {
    const auto around = image_of<const T>(second);
    const auto activation = activation_of<T>(negative_slope, std::nullopt);
    const auto to = image_of<T>(output);
    for_each_range_of_warped_strips<T>(
        problem, first, grid, [&](const RowSource<T>& warped, void* workspace, int64_t begin, int64_t end) {
          correlation_kernels<T>().forward(problem.sizes, warped, around, activation, to, workspace, begin, end);
        });
  });
  return output;
}

std::tuple<Tensor, Tensor, Tensor> warp_correlation_backward(const Tensor& grad_output, const Tensor& first,
                                                             const Tensor& second, const Tensor& grid,
                                                             const std::optional<Tensor>& output, int64_t radius,
                                                             std::optional<double> negative_slope,
                                                             const std::string& padding_mode, bool align_corners,
                                                             bool first_needed, bool second_needed, bool grid_needed) {
  const Problem problem = check(first, second, grid, radius, negative_slope, padding_mode, align_corners);
  check_volume_gradient(grad_output, output, negative_slope, volume_shape(problem.images, problem.sizes),
                        first.scalar_type());
  Tensor grad_first = new_gradient(first, first_needed), grad_grid = new_gradient(grid, grid_needed);
  const Tensor grad_second = new_gradient(second, second_needed);
  if (second.numel() == 0) return {torch::stable::zero_(grad_first), grad_second, torch::stable::zero_(grad_grid)};
  with_number_type("first", first, [&]<class T>(T) {
    using P = Wide<T>;
    const auto grad = image_of<const T>(grad_output);
    const auto activation = activation_of<T>(negative_slope, output);
    // The second gradient's memory serves the others until that gradient is computed.
    const Spare spare{grad_second.mutable_data_ptr(), grad_second.numel() * static_cast<int64_t>(sizeof(T))};
    WarpedBackward<T> warped{problem,
                             grad,
                             activation,
                             image_of<const T>(first),
                             image_of<const T>(second),
                             positions_of<const P>(grid, kGrid),
                             std::nullopt,
                             std::nullopt,
                             spare};
    if (first_needed) warped.grad_first = image_of<T>(grad_first);
    if (grid_needed) warped.grad_grid = positions_of<P>(grad_grid, kGrid);
    if (first_needed || grid_needed) warped.run();
    if (second_needed) {
      const auto to = image_of<T>(grad_second);
      for_each_range_of_warped_strips<T>(
          problem, first, grid, [&](const RowSource<T>& warped, void* workspace, int64_t begin, int64_t end) {
            correlation_kernels<T>().backward(problem.sizes, Operand::kSecond, grad, activation, warped, {to},
                                              workspace, begin, end);
          });
    }
  });
  return {grad_first, grad_second, grad_grid};
}

}  // namespace tryon_kernels::cpu
