"""Mutants of the CPU kernels."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CORRELATION = "csrc/cpu/kernels/correlation.cpp"
POSITIONS = "csrc/cpu/kernels/sample_positions.h"
TAPS = "csrc/cpu/kernels/taps.h"
CHANNELS_LAST = "csrc/cpu/kernels/sample_channels_last.h"
SCATTER = "csrc/cpu/kernels/scatter_bands.h"
SUMS = "csrc/cpu/kernels/scatter.cpp"
LANES = "csrc/cpu/kernels/lanes.h"
COPIES = "csrc/cpu/kernels/pixels.h"
WARPED = "csrc/cpu/warped_backward.h"
INTERLEAVE = "csrc/cpu/kernels/interleave.h"
NCHW = "csrc/cpu/kernels/sample_nchw.h"
VOLUME = "csrc/cpu/volume.h"
VALUES = "tests/kernels/test_values.py"
ZERO = "tests/kernels/test_values.py -k exactly_0"
FAR = "tests/kernels/test_non_finite.py"
BOUNDS = "tests/kernels/test_bounds.py"
REFUSALS = "tests/kernels/test_refusals.py"
OPS = "tests/kernels/test_ops.py"
BITS = "tests/kernels/test_threads.py"
DISTANCE = "csrc/cpu/kernels/distance.cpp"
LAID = "csrc/cpu/distance.cpp"
DISTANCES = "tests/kernels/test_feature_distance.py"

MUTANTS = (
    Mutant(TAPS, "confined<P>(top + j, height - 1)", "confined<P>(top + j, height)", BOUNDS, isa="avx512"),
    Mutant(TAPS, "are_indices<P>(left, width - 1)", "are_indices<P>(left, width)", VALUES),
    Mutant(
        NCHW, "upper += grad * (value[0][1] - value[0][0]);", "upper += grad * (value[0][1] - value[1][0]);", VALUES
    ),
    Mutant(CHANNELS_LAST, "rows[j] && columns[k] ?", "rows[j] ?", BOUNDS),
    Mutant(CHANNELS_LAST, "for_each_vector<P, false>(channels", "for_each_vector<P, true>(channels", VALUES),
    Mutant(
        CHANNELS_LAST,
        "const P upper = (1 - u) * value[0] + u * value[1], lower",
        "const P upper = (1 - v) * value[0] + v * value[1], lower",
        VALUES,
    ),
    Mutant(POSITIONS, "(position > low) & (position < high)", "(position >= low) & (position < high)", FAR),
    Mutant(POSITIONS, "(position >= zero - 1) &", "(position > zero - 1) &", FAR),
    Mutant(POSITIONS, "position >= high ? high : low", "position < high ? low : high", FAR),
    Mutant(
        POSITIONS,
        "2 * lane : 2 * lane + 1; };\n  return shuffle<source, P>(load_wide(from), load_wide(from + kLanes<P> - 1));",
        "2 * lane : 2 * lane; };\n  return shuffle<source, P>(load_wide(from), load_wide(from + kLanes<P>));",
        BOUNDS,
    ),
    Mutant(
        SCATTER, "reach->first >= band.first_row + band.rows", "reach->first + 1 >= band.first_row + band.rows", BITS
    ),
    Mutant(COPIES, "const int64_t r = std::min(row, rows - kSquare);", "const int64_t r = row;", BOUNDS),
    Mutant(LANES, "magnitude > 0x7f800000 ?", "magnitude >= 0x7f800000 ?", VALUES),
    Mutant(SUMS, "Sums<P>{sums.data + c, sums.pitch}", "Sums<P>{sums.data, sums.pitch}", VALUES),
    Mutant(
        CORRELATION,
        "activation.used && !(at.signs[i] > 0) ? slope : scale",
        "activation.used && at.signs[i] < 0 ? slope : scale",
        ZERO,
    ),
    Mutant(
        CORRELATION,
        "mirrored ? WeightSteps{volume_pitch - 1, 1} : WeightSteps{1, volume_pitch - 1}",
        "mirrored ? WeightSteps{1, volume_pitch - 1} : WeightSteps{1, volume_pitch - 1}",
        VALUES,
    ),
    Mutant(WARPED, "slice < count; ++slice) sum +=", "slice < 1; ++slice) sum +=", VALUES),
    Mutant(DISTANCE, "(value < 0 ? one : zero)", "(value <= 0 ? one : zero)", DISTANCES),
    Mutant(DISTANCE, "return features <= 0 ? V{} : features;", "return features > 0 ? features : V{};", DISTANCES),
    Mutant(DISTANCE, "(rounded_to_upper(value.first) >> 16)", "((Words)value.first >> 16)", DISTANCES),
    Mutant(DISTANCE, "target, activated, i, std::min(kStep<T>, end - i))", "target, activated, i, kStep<T>)", BOUNDS),
    Mutant(
        LAID, "like.size(axis) == 1 || tensor.stride(axis)", "like.size(axis) > 1 || tensor.stride(axis)", DISTANCES
    ),
    Mutant(LAID, "if (tensor.stride(axis) != next) return false;", "", DISTANCES),
    Mutant(VOLUME, "!negative_slope || *negative_slope >= 0", "!negative_slope || *negative_slope >= -2", REFUSALS),
)
