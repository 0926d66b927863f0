#pragma once

#include <cstdint>

// The widest vectors of the instruction set that this object is compiled for.
namespace tryon_kernels {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

template <class P>
constexpr int64_t kLanes = kVectorBytes / sizeof(P);

template <class P>
struct VectorOf {
  typedef P type __attribute__((vector_size(kVectorBytes), may_alias));
};

template <class P>
using Vector = typename VectorOf<P>::type;

// From an address that is a multiple of the vector's size.
template <class P>
inline Vector<P> load(const P* from) {
  return *reinterpret_cast<const Vector<P>*>(from);
}

template <class P>
inline void store(P* to, Vector<P> value) {
  *reinterpret_cast<Vector<P>*>(to) = value;
}

template <class P>
inline P sum_of_lanes(Vector<P> value) {
  P sum = 0;
  for (int64_t lane = 0; lane < kLanes<P>; ++lane) sum += value[lane];
  return sum;
}

}  // namespace
}  // namespace tryon_kernels
