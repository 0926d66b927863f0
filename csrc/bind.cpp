#include <torch/csrc/stable/library.h>

#include "cpu/ops.h"

STABLE_TORCH_LIBRARY_IMPL(tryon_kernels, CPU, m) {
  namespace cpu = tryon_kernels::cpu;
  m.impl("warp", TORCH_BOX(&cpu::warp));
  m.impl("warp_backward", TORCH_BOX(&cpu::warp_backward));
  m.impl("grid_sample", TORCH_BOX(&cpu::grid_sample));
  m.impl("grid_sample_backward", TORCH_BOX(&cpu::grid_sample_backward));
  m.impl("correlation", TORCH_BOX(&cpu::correlation));
  m.impl("correlation_backward", TORCH_BOX(&cpu::correlation_backward));
  m.impl("warp_correlation", TORCH_BOX(&cpu::warp_correlation));
  m.impl("warp_correlation_backward", TORCH_BOX(&cpu::warp_correlation_backward));
  m.impl("feature_distance", TORCH_BOX(&cpu::feature_distance));
  m.impl("feature_distance_backward", TORCH_BOX(&cpu::feature_distance_backward));
}
