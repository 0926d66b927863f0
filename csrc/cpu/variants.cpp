#include "cpu/variants.h"

#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

// TRYON_KERNELS_VARIANTS is VARIANT(name, others) for each variant built, best first: its correlation is its own, its
// other kernels are those of the variant named second.
namespace tryon_kernels {

#define VARIANT(name, others)                          \
  namespace name {                                     \
  extern const Table<CorrelationKernels> kCorrelation; \
  }                                                    \
  namespace others {                                   \
  extern const Table<SampleKernels> kSample;           \
  extern const Table<ScatterKernels> kScatter;         \
  extern const Table<DistanceKernels> kDistance;       \
  }
TRYON_KERNELS_VARIANTS
#undef VARIANT

namespace {

#if defined(__linux__) && defined(__x86_64__)
// Linux lets a process use the registers of matrices once it has asked.
constexpr int kMatrixData = 18;

bool has_matrices() {
  constexpr unsigned kLeaf = 7, kMatricesOfBFloat16 = 1u << 22, kMatrices = 1u << 24;
  constexpr int kGetSupported = 0x1021;
  unsigned a = 0, b = 0, c = 0, d = 0;
  uint64_t supported = 0;
  return __get_cpuid_count(kLeaf, 0, &a, &b, &c, &d) && (d & kMatricesOfBFloat16) && (d & kMatrices) &&
         syscall(SYS_arch_prctl, kGetSupported, &supported) == 0 && (supported >> kMatrixData & 1);
}

bool ask_for_matrices() {
  constexpr int kRequestPermission = 0x1023;
  return syscall(SYS_arch_prctl, kRequestPermission, kMatrixData) == 0;
}
#else
bool has_matrices() { return false; }
bool ask_for_matrices() { return false; }
#endif

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
[[maybe_unused]] bool amx() { return avx512_bf16() && has_matrices(); }
#endif
}  // namespace runs_here

#define VARIANT(name, others) \
  {#name, runs_here::name, &name::kCorrelation, &others::kSample, &others::kScatter, &others::kDistance},
constexpr Variant kVariants[] = {TRYON_KERNELS_VARIANTS};
#undef VARIANT

std::string names(bool all) {
  std::string text;
  for (const Variant& variant : kVariants) {
    if (all || variant.runs_here()) text.append(text.empty() ? "" : " ").append(variant.name);
  }
  return text;
}

// What the environment asks for: empty for nothing.
std::string asked() {
  const char* const name = std::getenv("TRYON_KERNELS_ISA");
  return name == nullptr ? "" : name;
}

const Variant* choose() {
  const std::string name = asked();
  for (const Variant& variant : kVariants) {
    const bool wanted = name.empty() || name == variant.name;
    if (wanted && variant.runs_here() && (variant.name != std::string("amx") || ask_for_matrices())) return &variant;
  }
  return nullptr;
}

// Null where the variant that the environment asks for cannot be had.
const Variant* chosen() {
  static const Variant* const variant = choose();
  return variant;
}

}  // namespace

const Variant& chosen_variant() {
  const Variant* const variant = chosen();
  STD_TORCH_CHECK(variant != nullptr, "TRYON_KERNELS_ISA: got \"", asked(), "\", expected one of ", names(false),
                  " (built: ", names(true), ")");
  return *variant;
}

}  // namespace tryon_kernels

// For Python to report, by ctypes: names with spaces between, best first.
#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char* tryon_kernels_variants_built() {
  static const std::string text = tryon_kernels::names(true);
  return text.c_str();
}

EXPORT const char* tryon_kernels_variants_runnable() {
  static const std::string text = tryon_kernels::names(false);
  return text.c_str();
}

// The one that calls use, which the first call of an op or of this chooses. Empty where the one that the environment
// asks for cannot be had.
EXPORT const char* tryon_kernels_variant_chosen() {
  const tryon_kernels::Variant* const variant = tryon_kernels::chosen();
  return variant == nullptr ? "" : variant->name;
}
