#pragma once

#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <string>
#include <tuple>

// The ops' CPU implementations; tryon_kernels/ops holds their schemas.
namespace tryon_kernels::cpu {

using torch::stable::Tensor;

Tensor warp(const Tensor& input, const Tensor& flow, const std::string& padding_mode);
std::tuple<Tensor, Tensor> warp_backward(const Tensor& grad_output, const Tensor& input, const Tensor& flow,
                                         const std::string& padding_mode, bool input_needed, bool flow_needed);

Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& padding_mode, bool align_corners);
std::tuple<Tensor, Tensor> grid_sample_backward(const Tensor& grad_output, const Tensor& input, const Tensor& grid,
                                                const std::string& padding_mode, bool align_corners, bool input_needed,
                                                bool grid_needed);

Tensor correlation(const Tensor& first, const Tensor& second, int64_t radius, int64_t stride,
                   std::optional<double> negative_slope, bool mean);
std::tuple<Tensor, Tensor> correlation_backward(const Tensor& grad_output, const Tensor& first, const Tensor& second,
                                                const std::optional<Tensor>& output, int64_t radius, int64_t stride,
                                                std::optional<double> negative_slope, bool mean, bool first_needed,
                                                bool second_needed);

Tensor warp_correlation(const Tensor& first, const Tensor& second, const Tensor& grid, int64_t radius,
                        std::optional<double> negative_slope, const std::string& padding_mode, bool align_corners);
std::tuple<Tensor, Tensor, Tensor> warp_correlation_backward(const Tensor& grad_output, const Tensor& first,
                                                             const Tensor& second, const Tensor& grid,
                                                             const std::optional<Tensor>& output, int64_t radius,
                                                             std::optional<double> negative_slope,
                                                             const std::string& padding_mode, bool align_corners,
                                                             bool first_needed, bool second_needed, bool grid_needed);

std::tuple<Tensor, Tensor> feature_distance(const Tensor& features, const Tensor& target, bool relu);
std::tuple<Tensor, Tensor> feature_distance_backward(const std::optional<Tensor>& grad_activated,
                                                     const std::optional<Tensor>& grad_distance,
                                                     const Tensor& activated, const Tensor& target, bool relu,
                                                     bool features_needed, bool target_needed);

}  // namespace tryon_kernels::cpu
