#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tryon_kernels {

// Kernels may store past the caches, which other threads need not see in order before this.
inline void settle_stores() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

inline int64_t thread_count() { return torch::stable::get_num_threads(); }

// Calls body(begin, end) on ranges that together are [0, count). An element is said to cost so many multiplications;
// ranges too cheap to be worth a thread are not split. The body must not throw.
template <class Body>
void for_each_range(int64_t count, int64_t cost, const Body& body) {
  constexpr int64_t kWorthAThread = 16384;
  if (count > 0)
    torch::stable::parallel_for(0, count, std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, cost)),
                                [&](int64_t begin, int64_t end) {
                                  body(begin, end);
                                  settle_stores();
                                });
}

}  // namespace tryon_kernels
