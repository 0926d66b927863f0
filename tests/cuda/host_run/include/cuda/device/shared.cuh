#pragma once

#include "host_run/block.h"

// In place of csrc's: `extern __shared__` has no equivalent in C++.
namespace tryon_kernels::cuda {

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(host_run::dynamic_shared_memory());
}

}  // namespace tryon_kernels::cuda
