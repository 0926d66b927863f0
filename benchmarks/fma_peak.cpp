// A loop that does nothing but fused multiply-adds on registers: the arithmetic limit of one core. Compiled and called
// by benchmarks/machine.py, for the CPU that it runs on.

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kChains = 12;  // independent sums: more than latency times ports, fewer than registers

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

// Floating-point operations done by one call with this many repetitions.
extern "C" double operations(long repetitions) { return 2.0 * kLanes * kChains * static_cast<double>(repetitions); }

extern "C" float multiply_add(long repetitions, float factor) {
    const Vector scale = Vector{} + factor;
    const Vector shift = Vector{} + (1 - factor);
    Vector sums[kChains];
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) {
        sums[chain] = Vector{} + static_cast<float>(chain);
    }
    for (long repetition = 0; repetition < repetitions; ++repetition) {
#pragma GCC unroll 12
        for (int chain = 0; chain < kChains; ++chain) {
            sums[chain] = sums[chain] * scale + shift;
        }
    }
    Vector total = {};
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) {
        total += sums[chain];
    }
    return total[0];
}
