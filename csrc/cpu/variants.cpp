#include "cpu/variants.h"

#include <torch/headeronly/util/Exception.h>

#include <cstdlib>
#include <string>

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

// TRYON_KERNELS_VARIANTS is VARIANT(name, sampling) for each variant built, best first: its correlation is its own, its
// sampling that of the variant named second.
namespace tryon_kernels {

#define VARIANT(name, sampling)                        \
  namespace name {                                     \
  extern const Table<CorrelationKernels> kCorrelation; \
  }                                                    \
  namespace sampling {                                 \
  extern const Table<SampleKernels> kSample;           \
  extern const Table<ScatterKernels> kScatter;         \
  }
TRYON_KERNELS_VARIANTS
#undef VARIANT

namespace {

// Nobody asks for variants that are not built.
namespace runs_here {
bool baseline() { return true; }
#if defined(__x86_64__)
[[maybe_unused]] bool avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
[[maybe_unused]] bool avx512() {
  return avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

[[maybe_unused]] bool avx512_bf16() { return avx512() && __builtin_cpu_supports("avx512bf16"); }

// Linux lets a process use the matrix registers once it has asked.
[[maybe_unused]] bool amx() {
#if defined(__linux__)
  constexpr unsigned kLeaf = 7, kMatricesOfBFloat16 = 1u << 22, kMatrices = 1u << 24;
  constexpr int kRequestPermission = 0x1023, kMatrixData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return avx512() && __get_cpuid_count(kLeaf, 0, &a, &b, &c, &d) && (d & kMatricesOfBFloat16) && (d & kMatrices) &&
         syscall(SYS_arch_prctl, kRequestPermission, kMatrixData) == 0;
#else
  return false;
#endif
}
#endif
}  // namespace runs_here

#define VARIANT(name, sampling) {#name, runs_here::name, &name::kCorrelation, &sampling::kSample, &sampling::kScatter},
constexpr Variant kVariants[] = {TRYON_KERNELS_VARIANTS};
#undef VARIANT

const Variant* choose() {
  const char* const asked = std::getenv("TRYON_KERNELS_ISA");
  for (const Variant& variant : kVariants) {
    if (variant.runs_here() && (asked == nullptr || asked == std::string(variant.name))) return &variant;
  }
  return nullptr;
}

const Variant* const chosen = choose();

std::string names(bool all) {
  std::string text;
  for (const Variant& variant : kVariants) {
    if (all || variant.runs_here()) text.append(variant.name).append(" ");
  }
  return text;
}

}  // namespace

const Variant& chosen_variant() {
  STD_TORCH_CHECK(chosen != nullptr, "TRYON_KERNELS_ISA: expected one of ", names(false));
  return *chosen;
}

}  // namespace tryon_kernels

// For Python to report, by ctypes: names with a space after each, best first.
#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char* tryon_kernels_variants_built() {
  static const std::string text = tryon_kernels::names(true);
  return text.c_str();
}

EXPORT const char* tryon_kernels_variants_runnable() {
  static const std::string text = tryon_kernels::names(false);
  return text.c_str();
}

// Or empty, where the one that the environment asks for cannot be had.
EXPORT const char* tryon_kernels_variant_chosen() { return tryon_kernels::chosen ? tryon_kernels::chosen->name : ""; }
