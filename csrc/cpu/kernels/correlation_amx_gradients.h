#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/correlation_amx.h"
#include "cpu/kernels/fetch_ahead.h"

// The gradients of bfloat16 features on AMX. For a patch of pixels the left factor has the weights of all neighbours in
// reach of any of them, and the right factor has the neighbours, 16 channels at a time:
//
//            columns in reach, 16 of two rows                  16 channels
//           +--------------------------------+               +------------+
//   pixel 0 | w w w w w w w 0 0 0 0 0 0 0 .. |      column 0 | neighbours |
//         1 | 0 w w w w w w w 0 0 0 0 0 0 .. |  x          1 |            |
//         : |                                |             : |            |
//
// The rows in reach are taken two at a time, so a pair is of neighbours one below the other.
namespace tryon_kernels {
namespace {

// Sizes for one call.
struct GradientPacking {
  Strips strips;
  int64_t blocks;   // matrices of neighbours in reach of a patch, of each pair of rows
  int64_t steps;    // of these, in all
  int64_t columns;  // of a strip, for whole patches
  int64_t channel_blocks;
  Packed<Pair> around;
  Packed<BFloat16> volume_around, band;

  GradientPacking(const CorrelationSizes& sizes, int64_t volume_radius)
      : strips(sizes, odd_lines<float>(sizes.channels) * static_cast<int64_t>(sizeof(float))),
        blocks(parts(kPatchColumns + 2 * sizes.radius, kMatrixColumns)),
        steps((sizes.radius + 1) * blocks),
        columns(round_up(std::min(strips.width, sizes.width), kPatchColumns)),
        channel_blocks(parts(sizes.channels, kMatrixColumns)),
        around{sizes.channels, odd_lines<Pair>(sizes.channels), columns - kPatchColumns + blocks * kMatrixColumns},
        volume_around{sizes.side() * sizes.side(), odd_lines<BFloat16>(sizes.side() * sizes.side()),
                      columns + 2 * volume_radius},
        band{sizes.channels, odd_lines<BFloat16>(sizes.channels), columns} {}
};

// The rows around a strip, two in each slot, with zeros outside.
class RowPairsAround {
 public:
  RowPairsAround(const CorrelationSizes& sizes, const GradientPacking& packing, const RowSource<BFloat16>& from,
                 Pair* memory)
      : ring_(sizes, sizes.radius), sizes_(sizes), packed_(packing.around), from_(from), memory_(memory) {}

  static int64_t size(const CorrelationSizes& sizes, const GradientPacking& packing) {
    return parts(Ring::slots(sizes, sizes.radius), 2) * packing.around.row();
  }

  void move_to(const Strip& strip) {
    if (!ring_.goes_on(strip))
      std::fill_n(memory_, parts(Ring::slots(sizes_, sizes_.radius), 2) * packed_.row(), Pair{0});
    const int64_t end = strip.y + strip.rows + sizes_.radius;
    for (int64_t y = ring_.next(strip); y < end; y += kMostRows) pack(strip, y, std::min(y + kMostRows, end));
    ring_.move_to(strip, [](int64_t) {}, [](int64_t, int64_t) {});
  }

  // Of this row and the one below; the first column holds the strip's first x - radius.
  Pair* rows(int64_t y) const { return memory_ + ring_.slot(y) / 2 * packed_.row(); }

 private:
  // The pairs from row `first` on.
  void pack(const Strip& strip, int64_t first, int64_t last) const {
    const int64_t left = strip.begin - sizes_.radius, begin = std::max<int64_t>(left, 0);
    const int64_t columns = std::min(strip.end + sizes_.radius, sizes_.width) - begin;
    const int64_t inside = std::clamp<int64_t>(first, 0, sizes_.height), end = std::min(last, sizes_.height);
    Image<const BFloat16> from{};
    if (inside < end) from = rows_of(from_, strip.image, inside, end, begin, begin + columns);
    const auto has = [&](int64_t y) { return y >= inside && y < end; };
    const auto at = [&](int64_t y, int64_t c, int64_t x) {
      return has(y) ? pixels_of(from, 0, c, y - inside, x).data : nullptr;
    };
    const auto mask = [&](int64_t y, int64_t count) { return has(y) ? lanes_below(count) : __mmask16{0}; };
    for (int64_t c = 0; c < sizes_.channels; c += kFloats) {
      const int64_t channels = std::min(kFloats, sizes_.channels - c);
      for (int64_t y = first; y < last; y += 2) {
        Pair* const to = rows(y) + (begin - left) * packed_.pitch + c;
        if (from.channel == 1) {
          for (int64_t x = 0; x < columns; ++x)
            store(to + x * packed_.pitch,
                  paired(at(y, c, x), mask(y, channels), at(y + 1, c, x), mask(y + 1, channels)));
        } else if (from.column == 1) {
          for (int64_t x = 0; x < columns; x += kFloats) {
            const int64_t count = std::min(kFloats, columns - x);
            const __mmask16 low = mask(y, count), high = mask(y + 1, count);
            Vector<float> square[kFloats] = {};
#pragma GCC unroll 16
            for (int64_t i = 0; i < kFloats; ++i)
              if (i < channels) square[i] = (Vector<float>)paired(at(y, c + i, x), low, at(y + 1, c + i, x), high);
            transpose<float>(square);
#pragma GCC unroll 16
            for (int64_t i = 0; i < kFloats; ++i)
              if (i < count) store(to + (x + i) * packed_.pitch, square[i]);
          }
        } else {
          for (int64_t x = 0; x < columns; ++x)
            for (int64_t i = 0; i < channels; ++i)
              to[x * packed_.pitch + i] =
                  (has(y) ? Pair{at(y, c + i, x)->bits} : 0) | (has(y + 1) ? Pair{at(y + 1, c + i, x)->bits} << 16 : 0);
        }
      }
    }
  }

  Ring ring_;
  const CorrelationSizes& sizes_;
  const Packed<Pair> packed_;
  const RowSource<BFloat16> from_;
  Pair* const memory_;
};

class MatrixBackward {
 public:
  MatrixBackward(const CorrelationSizes& sizes, Operand operand, Workspace& workspace)
      : sizes_(sizes),
        mirrored_(operand == Operand::kSecond),
        volume_radius_(mirrored_ ? sizes.radius : 0),
        packing_(sizes, volume_radius_),
        around_(workspace.take<Pair>(RowPairsAround::size(sizes, packing_))),
        volume_(workspace.take<BFloat16>(
            RowsAround<BFloat16, BFloat16>::size(sizes, volume_radius_, packing_.volume_around))),
        band_(workspace.take<BFloat16>(sizes.band_rows * packing_.band.row())),
        weights_(workspace.take<Pair>(weights_size())),
        sums_(workspace.take<float>(packing_.channel_blocks * kSums)),
        in_reach_(workspace.take<Pair>(packing_.steps * kSums)) {}

  void run(const Image<const BFloat16>& grad_output, const RowSource<BFloat16>& other,
           const RowSink<BFloat16>& gradient, int64_t begin, int64_t end) {
    RowPairsAround rows(sizes_, packing_, other, around_);
    RowsAround<BFloat16, BFloat16> grads(sizes_, volume_radius_, packing_.volume_around, {grad_output}, volume_);
    std::fill_n(weights_, weights_size(), Pair{0});
    for (int64_t index = begin; index < end; ++index) {
      const Strip strip(sizes_, packing_.strips, index);
      rows.move_to(strip);
      grads.move_to(strip, [](auto&&...) {});
      const Image<BFloat16> to =
          gradient.take ? gradient.image : starting_at(gradient.image, strip.image, strip.y, strip.begin);
      const bool in_place = to.channel == 1 && sizes_.channels % kMatrixColumns == 0 && strip.width() >= kPatchColumns;
      Ahead ahead;
      if (other.make == nullptr) ahead.add(other.image, sizes_.channels, sizes_, strip, strip.rows + sizes_.radius);
      ahead.add(grad_output, sizes_.side() * sizes_.side(), sizes_, strip, strip.rows + volume_radius_);
      ahead.divide_by(strip.rows * strip.width());
      const bool past_caches = in_place && !gradient.take && is_large(sizes_, to);
      for (int64_t i = 0; i < strip.rows; i += kPatchRows) {
        const int64_t y = strip.y + i;
        for (int64_t start = 0; start < strip.width(); start += kPatchColumns) {
          const int64_t x = std::max<int64_t>(0, std::min(start, strip.width() - kPatchColumns));
          if (mirrored_)
            weigh_mirrored(grads, y, x);
          else
            weigh(grads, y, x);
          multiply(rows, y, x);
          for (int64_t row = 0; row < std::min(kPatchRows, strip.rows - i); ++row) {
            if (in_place)
              finish(rows, y, x, row, pixels_of(to, 0, 0, i + row, x).data, to.column, past_caches, ahead);
            else
              finish(rows, y, x, row, band_ + (i + row) * packing_.band.row() + x * packing_.band.pitch,
                     packing_.band.pitch, false, ahead);
          }
        }
      }
      if (!in_place) packing_.band.unpack(band_, strip.at_start(), to);
      if (gradient.take)
        gradient.take(gradient.taker, strip.image, strip.y, strip.y + strip.rows, strip.begin, strip.end);
    }
  }

 private:
  static constexpr int64_t kSums = kMatrixRows * kMatrixColumns;
  using Grads = RowsAround<BFloat16, BFloat16>;

  int64_t weights_row() const { return packing_.blocks * kMatrixColumns; }
  int64_t weights_size() const { return (sizes_.radius + 1) * kMatrixRows * weights_row(); }
  Pair* weights(int64_t pair, int64_t pixel) const { return weights_ + (pair * kMatrixRows + pixel) * weights_row(); }

  // The numbers of each pixel have always the same places; all others stay 0.
  void weigh(const Grads& grads, int64_t y, int64_t x) const {
    const int64_t side = sizes_.side(), pitch = packing_.volume_around.pitch;
    for (int64_t row = 0; row < kPatchRows; ++row) {
      for (int64_t p = 0; p < kPatchColumns; ++p) {
        const BFloat16* const from = grads.row(y + row) + (x + p) * pitch;
        for (int64_t pair = 0; pair <= sizes_.radius; ++pair) {
          const int64_t dy = 2 * pair - row;
          Pair* const to = weights(pair, row * kPatchColumns + p) + p;
          for (int64_t dx = 0; dx < side; dx += kFloats) {
            const __mmask16 mask = lanes_below(side - dx);
            const BFloat16* const low = from + dy * side + dx;
            _mm512_mask_storeu_epi32(to + dx, mask,
                                     (__m512i)paired(low, dy >= 0 ? mask : 0, low + side, dy + 1 < side ? mask : 0));
          }
        }
      }
    }
  }

  // A neighbour's numbers for the pixels of a row follow one another.
  void weigh_mirrored(const Grads& grads, int64_t y, int64_t x) const {
    const int64_t side = sizes_.side(), pitch = packing_.volume_around.pitch;
    for (int64_t pair = 0; pair <= sizes_.radius; ++pair) {
      const int64_t around = y - sizes_.radius + 2 * pair;
      const BFloat16 *const low = grads.row(around) + x * pitch, *const high = grads.row(around + 1) + x * pitch;
      for (int64_t first = 0; first < kPatchColumns + 2 * sizes_.radius; first += kFloats) {
        Vector<float> square[kFloats] = {};
#pragma GCC unroll 16
        for (int64_t i = 0; i < kFloats; ++i) {
          const int64_t column = first + i, dx = side - 1 - column;  // that of the row's first pixel
          // Pixels dx .. dx + 7 that are displacements.
          const unsigned reached = ((1u << std::clamp<int64_t>(side - dx, 0, kPatchColumns)) - 1) &
                                   ~((1u << std::clamp<int64_t>(-dx, 0, kPatchColumns)) - 1);
          const auto of = [&](const BFloat16* from, int64_t dy) {
            const auto row = [&](int64_t above) {
              const bool is = above >= 0 && above < side;
              return _mm_maskz_loadu_epi16(is ? reached : 0, from + column * pitch + (side - 1 - above) * side + dx);
            };
            return (Lanes<uint32_t, kFloats>)_mm512_maskz_cvtepu16_epi32(0xffff,
                                                                         _mm256_set_m128i(row(dy - 1), row(dy)));
          };
          square[i] = (Vector<float>)(of(low, 2 * pair) | of(high, 2 * pair + 1) << 16);
        }
        transpose<float>(square);
#pragma GCC unroll 16
        for (int64_t p = 0; p < kMatrixRows; ++p) store(weights(pair, p) + first, square[p]);
      }
    }
  }

  RowBytes bytes(int64_t right) const {
    constexpr int64_t kPair = sizeof(Pair), kSum = sizeof(float);
    return {weights_row() * kPair, right * kPair, kMatrixColumns * kSum};
  }

  const Pair* left(int64_t step) const {
    return weights(step / packing_.blocks, 0) + step % packing_.blocks * kMatrixColumns;
  }

  const Pair* right(const RowPairsAround& rows, int64_t y, int64_t x, int64_t step) const {
    return rows.rows(y - sizes_.radius + step / packing_.blocks * 2) +
           (x + step % packing_.blocks * kMatrixColumns) * packing_.around.pitch;
  }

  void multiply(const RowPairsAround& rows, int64_t y, int64_t x) const {
    sum_products<Common::kLeft>(
        packing_.channel_blocks, packing_.steps, bytes(packing_.around.pitch), [&](int64_t step) { return left(step); },
        [&](int64_t block, int64_t step) { return right(rows, y, x, step) + block * kMatrixColumns; },
        [&](int64_t block) { return sums_ + block * kSums; });
  }

  // One row of the patch.
  void finish(const RowPairsAround& rows, int64_t y, int64_t x, int64_t row, BFloat16* to, int64_t pitch,
              bool past_caches, Ahead& ahead) const {
    const float scale = 1.0f / static_cast<float>(sizes_.divisor);
    for (int64_t p = 0; p < kPatchColumns; ++p) {
      ahead.fetch();
      const auto sum = [&](int64_t block) {
        return load<Vector<float>>(sums_ + block * kSums + (row * kPatchColumns + p) * kMatrixColumns);
      };
      for (int64_t block = 0; block < packing_.channel_blocks; block += 2) {
        const bool both = block + 1 < packing_.channel_blocks;
        Vector<float> first = sum(block), second = both ? sum(block + 1) : Vector<float>{};
        if (_mm512_cmp_ps_mask((__m512)first, (__m512)second, _CMP_UNORD_Q) != 0) {
          first = sum_in_reach(rows, y, x, row, p, block);
          if (both) second = sum_in_reach(rows, y, x, row, p, block + 1);
        }
        BFloat16* const place = to + p * pitch + block * kMatrixColumns;
        const auto halves = rounded(first * scale, second * scale);
        if (both)
          store_bits(place, halves, past_caches);
        else
          _mm512_mask_storeu_epi32(place, 0xff, (__m512i)halves);
      }
    }
  }

  // A weight of 0 makes NaN of a neighbour that is not finite, so here those out of the pixel's reach are 0 too. All
  // else is added up as before: to the same bits.
  [[gnu::noinline]] Vector<float> sum_in_reach(const RowPairsAround& rows, int64_t y, int64_t x, int64_t row, int64_t p,
                                               int64_t block) const {
    const auto reaches = [&](int64_t distance) { return distance >= 0 && distance < sizes_.side(); };
    for (int64_t step = 0; step < packing_.steps; ++step) {
      const int64_t above = step / packing_.blocks * 2 - row, column = step % packing_.blocks * kMatrixColumns - p;
      const Pair of_rows = (reaches(above) ? 0xffffu : 0) | (reaches(above + 1) ? 0xffff0000u : 0);
      const Pair* const from = right(rows, y, x, step) + block * kMatrixColumns;
      for (int64_t i = 0; i < kMatrixRows; ++i)
        for (int64_t c = 0; c < kMatrixColumns; ++c)
          in_reach_[step * kSums + i * kMatrixColumns + c] =
              reaches(column + i) ? from[i * packing_.around.pitch + c] & of_rows : 0;
    }
    alignas(kMatrixBytes) float sums[kSums];
    sum_products<Common::kLeft>(
        1, packing_.steps, bytes(kMatrixColumns), [&](int64_t step) { return left(step); },
        [&](int64_t, int64_t step) { return in_reach_ + step * kSums; }, [&](int64_t) { return sums; });
    return load<Vector<float>>(sums + (row * kPatchColumns + p) * kMatrixColumns);
  }

  const CorrelationSizes& sizes_;
  const bool mirrored_;
  const int64_t volume_radius_;
  const GradientPacking packing_;
  Pair* const around_;
  BFloat16 *const volume_, *const band_;
  Pair* const weights_;
  float* const sums_;
  Pair* const in_reach_;
};

inline int64_t matrix_backward_workspace(const CorrelationSizes& sizes) {
  Workspace workspace(nullptr);
  MatrixBackward(sizes, Operand::kSecond, workspace);
  return workspace.taken();
}

inline void matrix_backward(const CorrelationSizes& sizes, Operand operand, const Image<const BFloat16>& grad_output,
                            const RowSource<BFloat16>& other, const RowSink<BFloat16>& gradient, void* memory,
                            int64_t begin, int64_t end) {
  const Matrices matrices;
  Workspace workspace(memory);
  MatrixBackward(sizes, operand, workspace).run(grad_output, other, gradient, begin, end);
}

// Multiplying takes so little of the time that fewer visits of planes are worth more than what they take of the cache.
constexpr int64_t kMatrixBandRows = 4;

// Most of a matrix would be for nothing in a row of fewer pixels than a patch has, or for fewer channels than it has
// columns. A slope makes weights that bfloat16 does not hold.
inline bool suits_matrices(const CorrelationSizes& sizes) { return sizes.width >= kPatchColumns; }
inline bool gradients_suit_matrices(const CorrelationSizes& sizes) {
  return suits_matrices(sizes) && sizes.channels >= kMatrixColumns && sizes.band_rows % kPatchRows == 0;
}

// AMX where it suits, elsewhere the kernels for vectors.
template <const CorrelationKernels<BFloat16>& kVectors>
constexpr CorrelationKernels<BFloat16> kMatrixKernels{
    [](const CorrelationSizes& sizes) {
      CorrelationPlan plan = kVectors.plan(sizes);
      if (suits_matrices(sizes)) plan.workspace = std::max(plan.workspace, matrix_forward_workspace(sizes));
      if (gradients_suit_matrices(sizes)) plan.workspace = std::max(plan.workspace, matrix_backward_workspace(sizes));
      return plan;
    },
    [](const CorrelationSizes& sizes, const RowSource<BFloat16>& first, auto... arguments) {
      (suits_matrices(sizes) ? matrix_forward : kVectors.forward)(sizes, first, arguments...);
    },
    [](const CorrelationSizes& sizes, Operand operand, Image<const BFloat16> grad_output,
       const Activation<BFloat16>& activation, const RowSource<BFloat16>& other, const RowSink<BFloat16>& gradient,
       void* memory, int64_t begin, int64_t end) {
      if (gradients_suit_matrices(sizes) && !activation.used)
        matrix_backward(sizes, operand, grad_output, other, gradient, memory, begin, end);
      else
        kVectors.backward(sizes, operand, grad_output, activation, other, gradient, memory, begin, end);
    },
    kMatrixBandRows,
    kVectors.rows_of_planes,
    2 * kVectors.fitting};

}  // namespace
}  // namespace tryon_kernels
