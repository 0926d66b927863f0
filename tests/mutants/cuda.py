"""Mutants of the CUDA kernels, which run on the CPU."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CORRELATION = "csrc/cuda/device/correlation.cuh"
CORRELATION_BACKWARD = "csrc/cuda/device/correlation_backward.cuh"
SAMPLE = "csrc/cuda/device/sample.cuh"
POSITIONS_GRADIENT = "csrc/cuda/device/positions_gradient.cuh"
POSITIONS = "csrc/cuda/device/positions.cuh"
TILES = "csrc/cuda/device/tiles.cuh"
SCATTER = "csrc/cuda/device/scatter.cuh"
VALUES = 'tests/kernels/test_values.py -k "within_rounding and float32"'
ZERO = "tests/kernels/test_values.py -k exactly_0"
FAR = "tests/kernels/test_non_finite.py"
BOUNDS = "tests/kernels/test_bounds.py"
TURNS = "tests/kernels/test_turns.py"
SAMPLING_ORDERS = 'tests/kernels/test_orders.py -k "float32 and grid_sample"'
ORDERS = 'tests/kernels/test_orders.py -k "float32 and correlation"'

MUTANTS = (
    Mutant(
        SAMPLE,
        "channel < sampling.channels;\n       channel += int64_t{blockDim.x} * kVector<T>)",
        "channel < int64_t{blockDim.x} * kVector<T>;\n       channel += int64_t{blockDim.x} * kVector<T>)",
        TURNS,
    ),
    Mutant(
        SCATTER,
        "for (int64_t channel = threadIdx.x; channel < sampling.channels; channel += blockDim.x)",
        "for (int64_t channel = threadIdx.x; channel < blockDim.x; channel += blockDim.x)",
        TURNS,
    ),
    Mutant(
        POSITIONS_GRADIENT,
        "channel < sampling.channels;\n       channel +=",
        "channel < sampling.channels && channel < int64_t{blockDim.x} * kVector<T>;\n       channel +=",
        TURNS,
    ),
    Mutant(
        POSITIONS_GRADIENT,
        "for (int step = lanes / 2; step > 0; step /= 2)",
        "for (int step = lanes / 2; step > 1; step /= 2)",
        TURNS,
    ),
    Mutant(
        POSITIONS_GRADIENT, "  y[thread] = slopes.y;\n  __syncthreads();", "  y[thread] = slopes.y;", SAMPLING_ORDERS
    ),
    Mutant(
        POSITIONS,
        "placing.border ? position > low && position < high",
        "placing.border ? position >= low && position < high",
        FAR,
    ),
    Mutant(
        POSITIONS,
        "inside ? position : position >= high ? high : low",
        "inside ? position : position <= low ? low : high",
        FAR,
    ),
    Mutant(TILES, "if (pixel.within >> k & 1) taps[k]", "if (pixel.within >> k) taps[k]", VALUES),
    Mutant(
        CORRELATION,
        "    __pipeline_wait_prior(0);\n    __syncthreads();\n    if (channel < channels) {",
        "    __pipeline_wait_prior(0);\n    if (channel < channels) {",
        ORDERS,
    ),
    Mutant(
        CORRELATION,
        "  collect<T>(thread, sums, results);\n  __syncthreads();",
        "  collect<T>(thread, sums, results);",
        ORDERS,
    ),
    Mutant(
        CORRELATION_BACKWARD,
        "if (work.volume.data && !(widen(sign.at(y, x)[sign.step(dy, dx)]) > 0))",
        "if (work.volume.data && widen(sign.at(y, x)[sign.step(dy, dx)]) < 0)",
        ZERO,
    ),
    Mutant(
        CORRELATION_BACKWARD,
        "    store_gradient(work, block, channel, tile);\n    __syncthreads();",
        "    store_gradient(work, block, channel, tile);",
        TURNS,
    ),
    Mutant(
        CORRELATION_BACKWARD,
        "for (int channel = block.channel; channel < block.end; channel += kGatherChunk<T>)",
        "for (int channel = block.channel; channel == block.channel; channel += kGatherChunk<T>)",
        TURNS,
    ),
    Mutant(
        CORRELATION_BACKWARD, "if (dy < work.side && dx < work.side && inside)", "if (dx < work.side && inside)", BOUNDS
    ),
)
