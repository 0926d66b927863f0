#include <torch/csrc/stable/library.h>

#include "cuda/ops.h"

// The GPU's tensors; where the kernels are compiled to run on a CPU, its own.
#ifndef TRYON_KERNELS_CUDA_SERVES
#define TRYON_KERNELS_CUDA_SERVES CUDA
#endif

STABLE_TORCH_LIBRARY_IMPL(tryon_kernels_cuda, TRYON_KERNELS_CUDA_SERVES, m) {
  namespace cuda = tryon_kernels::cuda;
  m.impl("sample", TORCH_BOX(&cuda::sample));
  m.impl("differentiate_positions", TORCH_BOX(&cuda::differentiate_positions));
  m.impl("differentiate_input", TORCH_BOX(&cuda::differentiate_input));
  m.impl("find_cells", TORCH_BOX(&cuda::find_cells));
  m.impl("order_samples", TORCH_BOX(&cuda::order_samples));
  m.impl("sum_cells", TORCH_BOX(&cuda::sum_cells));
  m.impl("multiply", TORCH_BOX(&cuda::multiply));
  m.impl("gather", TORCH_BOX(&cuda::gather));
  m.impl("measure", TORCH_BOX(&cuda::measure));
  m.impl("differentiate_distance", TORCH_BOX(&cuda::differentiate_distance));
}
