#include "cpu/kernels/correlation.h"

#include <algorithm>
#include <limits>

// CPUs with AMX have all of AVX-512, so their table lives in its object.
#if defined(__AVX512F__) && !defined(__AVX512BF16__)
#define TRYON_KERNELS_HAS_AMX_TABLE
#include "cpu/kernels/correlation_amx_gradients.h"
#endif
#include "cpu/kernels/fetch_ahead.h"
#include "cpu/kernels/lanes.h"
#include "cpu/kernels/packed_rows.h"

namespace tryon_kernels {
namespace {

// What is in registers at once. A load serves up to three products, so that loads, of which a core does as many a cycle
// as multiply-adds or fewer, keep up with these.
constexpr int kTilePixels = 3;                                // neighbours in a row
constexpr int kTileDisplacements = kRegisters == 32 ? 7 : 4;  // the product: so many horizontal displacements of each
constexpr int kTileVectors = kRegisters == 32 ? 8 : 4;        // the gradients: so many vectors of channels of each

constexpr int64_t kNearBytes = 20 * 1024;  // of pixels that the first-level cache keeps beside their neighbours

// A call's memory: the rows around of one operand, a band of the other or of a gradient, and the same of the volume or
// of its gradient.
template <class E, class P>
struct Packing {
  Strips strips;
  Packed<E> around, band;                // of the features
  Packed<P> volume_around, volume_band;  // of the volume

  Packing(const CorrelationSizes& sizes, int64_t volume_radius)
      : strips(sizes, odd_lines<P>(sizes.channels) * static_cast<int64_t>(sizeof(P))) {
    const int64_t columns = round_up(std::min(strips.width, sizes.width), kTilePixels);
    const int64_t volume = sizes.side() * sizes.side(), volume_pitch = odd_lines<P>(volume);
    band = {sizes.channels, odd_lines<E>(sizes.channels), columns};
    around = {sizes.channels, band.pitch, columns + 2 * sizes.radius};
    volume_band = {volume, volume_pitch, columns};
    volume_around = {volume, volume_pitch, columns + 2 * volume_radius};
  }
};

// The tiles from `begin` to `end` of a row: its last one ends with it, unless the row is shorter.
struct Tiles {
  int64_t begin, end, width;

  template <class Body>
  void for_each(const Body& body) const {
    for (int64_t x = begin; x < end; x += kTilePixels) body(std::max<int64_t>(0, std::min(x, width - kTilePixels)));
  }
};

// Calls body(first, count) for the spans that displacements along a row are cut into, evenly.
template <class Body>
inline void for_each_span(int64_t side, const Body& body) {
  const int64_t spans = parts(side, kTileDisplacements), count = side / spans, longer = side % spans;
  for (int64_t span = 0, first = 0; span < spans; ++span) {
    body(first, count + (span < longer));
    first += count + (span < longer);
  }
}

// From a sum of products to the output.
template <class P>
struct Finish {
  P scale, negative_slope;

  Vector<P> operator()(Vector<P> sum) const {
    const Vector<P> value = sum * scale;
    return value > 0 ? value : value * negative_slope;
  }
};

// Scalar products of the tile's pixels with `Displacements` neighbours of each, to as many numbers of the volume.
template <int Displacements, class E, class P>
inline void multiply_tile(const E* centres, int64_t centre_pitch, const E* neighbours, int64_t pitch, int64_t channels,
                          const Finish<P>& finish, P* volume, int64_t volume_pitch) {
  Vector<P> sum[kTilePixels][Displacements] = {};
  for (int64_t c = 0; c < channels; c += kLanes<E>) {
    Factors<E> pixels[kTilePixels];
#pragma GCC unroll 8
    for (int p = 0; p < kTilePixels; ++p) pixels[p] = kept(load<Factors<E>>(centres + p * centre_pitch + c));
#pragma GCC unroll 16
    for (int column = 0; column < kTilePixels + Displacements - 1; ++column) {
      const auto neighbour = kept(load<Factors<E>>(neighbours + column * pitch + c));
#pragma GCC unroll 8
      for (int p = 0; p < kTilePixels; ++p) {
        const int displacement = column - p;
        if (displacement >= 0 && displacement < Displacements)
          add_products<E>(sum[p][displacement], pixels[p], neighbour);
      }
    }
  }
  constexpr int kSums = kTilePixels * Displacements;
  alignas(kVectorBytes) P sums[round_up(kSums, kLanes<P>)];
#pragma GCC unroll 16
  for (int first = 0; first < kSums; first += kLanes<P>) {
    Vector<P> vectors[kLanes<P>] = {};
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes<P>; ++lane) {
      const int index = first + lane;
      if (index < kSums) vectors[lane] = sum[index / Displacements][index % Displacements];
    }
    store(sums + first, finish(sums_of_lanes<P>(vectors)));
  }
#pragma GCC unroll 8
  for (int p = 0; p < kTilePixels; ++p)
    std::memcpy(volume + p * volume_pitch, sums + p * Displacements, Displacements * sizeof(P));
}

// Where neighbours are outside the image all products are with zero: these are zero, or NaN, and so is what is made of
// their sum.
template <class E, class P>
inline void multiply_zeros(const E* centres, int64_t centre_pitch, int64_t channels, const Tiles& tiles, int64_t side,
                           P* volume, int64_t volume_pitch) {
  for (int64_t x = tiles.begin; x < tiles.end; ++x) {
    Vector<P> sum = {};
    for (int64_t c = 0; c < channels; c += kLanes<E>)
      add_products<E>(sum, load<Factors<E>>(centres + x * centre_pitch + c), Factors<E>{});
    std::fill_n(volume + x * volume_pitch, side, is_zero(sum) ? P{0} : std::numeric_limits<P>::quiet_NaN());
  }
}

// Some of a row's tiles; between them, something of the next strip is fetched.
struct MultiplyTiles {
  template <int Displacements, class E, class P>
  static void run(const E* centres, int64_t centre_pitch, const E* neighbours, int64_t pitch, int64_t channels,
                  const Tiles& tiles, const Finish<P>& finish, P* volume, int64_t volume_pitch, Ahead& ahead) {
    tiles.for_each([&](int64_t x) {
      multiply_tile<Displacements>(centres + x * centre_pitch, centre_pitch, neighbours + x * pitch, pitch, channels,
                                   finish, volume + x * volume_pitch, volume_pitch);
      ahead.fetch();
    });
  }

  // For a number of displacements known at run time only.
  template <class... Arguments, int... Less>
  static void run(int64_t displacements, std::integer_sequence<int, Less...>, Arguments&&... arguments) {
    ((displacements == Less + 1 ? run<Less + 1>(arguments...) : void()), ...);
  }
};

// Adds one neighbour to the sums of the tile's pixels First .. Last, each with a weight of its own.
template <int First, int Last, int Vectors, class P>
inline void add_neighbour(const P* neighbour, const P* weights, int64_t pixel_step,
                          Vector<P> (&sums)[kTilePixels][Vectors]) {
  Vector<P> weight[kTilePixels];
#pragma GCC unroll 8
  for (int p = First; p <= Last; ++p) weight[p] = weights[p * pixel_step] - Vector<P>{};
#pragma GCC unroll 8
  for (int v = 0; v < Vectors; ++v) {
    const Vector<P> value = kept(load_wide(neighbour + v * kLanes<P>));
#pragma GCC unroll 8
    for (int p = First; p <= Last; ++p) sums[p][v] += weight[p] * value;
  }
}

// Where a row of the window starts: its neighbours, and the weights that they have.
template <class P>
struct WindowRow {
  const P *neighbours, *weights;
};

// Steps from a weight to that of the next neighbour of a pixel, and to that of the next pixel for the same neighbour.
struct WeightSteps {
  int64_t neighbour, pixel;
};

// Weighted sums of the neighbours of the tile's pixels, for `Vectors` vectors of channels.
template <int Vectors, class P>
void gather_tile(const WindowRow<P>* rows, int64_t side, int64_t pitch, int64_t at, int64_t weights_at,
                 const WeightSteps& steps, P* result, int64_t result_pitch, bool past_caches, Ahead& ahead) {
  Vector<P> sums[kTilePixels][Vectors] = {};
  const auto neighbour = [&]<int First, int Last>(int64_t row, int64_t column) {
    add_neighbour<First, Last>(rows[row].neighbours + at + column * pitch,
                               rows[row].weights + weights_at + column * steps.neighbour, steps.pixel, sums);
  };
  if (side == 1) {
    neighbour.template operator()<0, 0>(0, 0);
    neighbour.template operator()<1, 1>(0, 1);
    neighbour.template operator()<2, 2>(0, 2);
  } else {
    for (int64_t row = 0; row < side; ++row) {
      ahead.fetch();
      neighbour.template operator()<0, 0>(row, 0);
      neighbour.template operator()<0, 1>(row, 1);
      for (int64_t column = 2; column < side; ++column) neighbour.template operator()<0, 2>(row, column);
      neighbour.template operator()<1, 2>(row, side);
      neighbour.template operator()<2, 2>(row, side + 1);
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kTilePixels; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store_line<P>(result + p * result_pitch + v * kLanes<P>, sums[p][v], past_caches);
}

// Packed pixels, or pixels that lie as if they were.
template <class P>
struct Row {
  const P* data;
  int64_t pitch;
};

template <class T>
struct Forward {
  using P = Wide<T>;
  using E = Factor<T>;
  Packing<E, P> packing;
  int64_t near_columns;  // pixels of each row of the band that are worked on together
  E *around, *band;
  P* volume;

  Forward(const CorrelationSizes& sizes, Workspace& workspace)
      : packing(sizes, 0),
        near_columns(std::clamp(kNearBytes / (sizes.band_rows * packing.band.pitch * static_cast<int64_t>(sizeof(E))) /
                                    kTilePixels * kTilePixels,
                                int64_t{kTilePixels}, packing.band.columns)),
        around(workspace.take<E>(RowsAround<T, E>::size(sizes, sizes.radius, packing.around))),
        band(workspace.take<E>(sizes.band_rows * packing.band.row())),
        volume(workspace.take<P>(sizes.band_rows * packing.volume_band.row())) {}
};

template <class T>
struct Backward {
  using P = Wide<T>;
  Packing<P, P> packing;
  P *around, *band, *weights, *signs;
  WindowRow<P>* window_rows;

  Backward(const CorrelationSizes& sizes, Operand operand, Workspace& workspace)
      : packing(sizes, operand == Operand::kSecond ? sizes.radius : 0),
        around(workspace.take<P>(RowsAround<T, P>::size(sizes, sizes.radius, packing.around))),
        band(workspace.take<P>(sizes.band_rows * packing.band.row())),
        weights(workspace.take<P>(
            RowsAround<T, P>::size(sizes, operand == Operand::kSecond ? sizes.radius : 0, packing.volume_around))),
        signs(workspace.take<P>(packing.volume_around.row())),
        window_rows(workspace.take<WindowRow<P>>(sizes.side())) {}
};

template <class T>
CorrelationPlan correlation_plan(const CorrelationSizes& sizes) {
  Workspace forward(nullptr), backward(nullptr);
  const int64_t strips = Forward<T>(sizes, forward).packing.strips.count();
  Backward<T>(sizes, Operand::kSecond, backward);
  return {strips, std::max(forward.taken(), backward.taken())};
}

template <class T>
void correlation_forward(const CorrelationSizes& sizes, const RowSource<T>& first, Image<const T> second,
                         const Activation<T>& activation, Image<T> output, void* memory, int64_t begin, int64_t end) {
  using P = Wide<T>;
  using E = Factor<T>;
  Workspace workspace(memory);
  const Forward<T> at(sizes, workspace);
  RowsAround<T, E> rows(sizes, sizes.radius, at.packing.around, {second}, at.around);
  const int64_t side = sizes.side(), pitch = at.packing.around.pitch;
  const int64_t channels = round_up(sizes.channels, kLanes<E>);
  if (channels != sizes.channels) std::fill_n(at.band, sizes.band_rows * at.packing.band.row(), E{0});
  const Finish<P> finish{P{1} / static_cast<P>(sizes.divisor), activation.negative_slope};

  for (int64_t index = begin; index < end; ++index) {
    const Strip strip(sizes, at.packing.strips, index);
    rows.move_to(strip, [](auto&&...) {});
    const Image<const T> from = rows_of(first, strip.image, strip.y, strip.y + strip.rows, strip.begin, strip.end);
    const bool in_place = is_packed<const T, E>(from, sizes.channels) && strip.width() >= kTilePixels;
    if (!in_place) at.packing.band.pack(from, strip.at_start(), at.band);
    const bool volume_in_place = std::is_same_v<T, P> && output.channel == 1 && strip.width() >= kTilePixels;
    const int64_t volume_pitch = volume_in_place ? output.column : at.packing.volume_band.pitch;
    Ahead ahead;
    ahead.add(second, sizes.channels, sizes, strip, strip.rows + sizes.radius);
    if (first.make == nullptr) ahead.add(first.image, sizes.channels, sizes, strip, strip.rows);
    ahead.divide_by(strip.rows * side * parts(side, kTileDisplacements) * parts(strip.width(), kTilePixels));
    const auto centres = [&](int64_t i) -> Row<E> {
      if constexpr (std::is_same_v<T, E>) {
        if (in_place) return {pixels_of(from, 0, 0, i, 0).data, from.column};
      }
      return {at.band + i * at.packing.band.row(), pitch};
    };
    const auto volume = [&](int64_t i) -> P* {
      if constexpr (std::is_same_v<T, P>) {
        if (volume_in_place) return pixels_of(output, strip.image, 0, strip.y + i, strip.begin).data;
      }
      return at.volume + i * at.packing.volume_band.row();
    };
    for (int64_t x = 0; x < strip.width(); x += at.near_columns) {
      const Tiles tiles{x, std::min(x + at.near_columns, strip.width()), strip.width()};
      // A row around meets all rows that it is a neighbour of while the first-level cache has it.
      for (int64_t y = -sizes.radius; y < strip.rows + sizes.radius; ++y) {
        const int64_t last = std::min(strip.rows - 1, y + sizes.radius);
        const bool outside = strip.y + y < 0 || strip.y + y >= sizes.height;
        for (int64_t i = std::max<int64_t>(0, y - sizes.radius); i <= last; ++i) {
          const int64_t dy = y - i + sizes.radius;
          if (outside) {
            multiply_zeros(centres(i).data, centres(i).pitch, channels, tiles, side, volume(i) + dy * side,
                           volume_pitch);
            continue;
          }
          for_each_span(side, [&](int64_t dx, int64_t displacements) {
            MultiplyTiles::run(displacements, std::make_integer_sequence<int, kTileDisplacements>(), centres(i).data,
                               centres(i).pitch, rows.row(strip.y + y) + dx * pitch, pitch, channels, tiles, finish,
                               volume(i) + dy * side + dx, volume_pitch, ahead);
          });
        }
      }
    }
    if (!volume_in_place) at.packing.volume_band.unpack(at.volume, strip, output);
  }
}

// What the gradient of each pixel takes from each neighbour is the output's gradient, divided by the channels. For the
// second operand the neighbour is the centre, so its displacement is mirrored.
template <class T>
void correlation_backward(const CorrelationSizes& sizes, Operand operand, Image<const T> grad_output,
                          const Activation<T>& activation, const RowSource<T>& other, const RowSink<T>& gradient,
                          void* memory, int64_t begin, int64_t end) {
  using P = Wide<T>;
  constexpr int64_t kStep = kTileVectors * kLanes<P>;
  const bool mirrored = operand == Operand::kSecond;
  Workspace workspace(memory);
  const Backward<T> at(sizes, operand, workspace);
  RowsAround<T, P> rows(sizes, sizes.radius, at.packing.around, other, at.around);
  RowsAround<T, P> grads(sizes, mirrored ? sizes.radius : 0, at.packing.volume_around, {grad_output}, at.weights);
  const int64_t side = sizes.side(), pitch = at.packing.around.pitch, volume_pitch = at.packing.volume_around.pitch;
  const int64_t channels = round_up(sizes.channels, kLanes<P>);
  const P scale = P{1} / static_cast<P>(sizes.divisor), slope = activation.negative_slope * scale;
  const WeightSteps steps = mirrored ? WeightSteps{volume_pitch - 1, 1} : WeightSteps{1, volume_pitch - 1};

  for (int64_t index = begin; index < end; ++index) {
    const Strip strip(sizes, at.packing.strips, index);
    rows.move_to(strip, [](auto&&...) {});
    grads.move_to(strip, [&](P* row, int64_t y, int64_t first, int64_t last) {
      if (activation.used)
        copy_pixels(pixels_of(activation.output, strip.image, 0, y, first), Pixels<P>{at.signs, 1, volume_pitch},
                    side * side, last - first);
      for (int64_t i = 0; i < (last - first) * volume_pitch; ++i)
        row[i] *= activation.used && !(at.signs[i] > 0) ? slope : scale;
    });
    const Image<T> to = gradient.take ? gradient.image : starting_at(gradient.image, strip.image, strip.y, strip.begin);
    const bool in_place = is_packed<T, P>(to, sizes.channels) && strip.width() >= kTilePixels;
    Ahead ahead;
    if (other.make == nullptr) ahead.add(other.image, sizes.channels, sizes, strip, strip.rows + sizes.radius);
    ahead.add(grad_output, side * side, sizes, strip, strip.rows + (mirrored ? sizes.radius : 0));
    ahead.divide_by(strip.rows * parts(channels, kStep) * parts(strip.width(), kTilePixels) * side);
    const bool past_caches = in_place && !gradient.take && is_large(sizes, to);
    for (int64_t i = 0; i < strip.rows; ++i) {
      const int64_t y = strip.y + i;
      for (int64_t dy = 0; dy < side; ++dy) {
        const int64_t around = y + dy - sizes.radius;
        at.window_rows[dy] = {rows.row(around), mirrored ? grads.row(around) + (side - 1 - dy) * side + side - 1
                                                         : grads.row(y) + dy * side};
      }
      P* result = at.band + i * at.packing.band.row();
      int64_t result_pitch = pitch;
      if constexpr (std::is_same_v<T, P>) {
        if (in_place) {
          result = pixels_of(to, 0, 0, i, 0).data;
          result_pitch = to.column;
        }
      }
      const auto gather = [&]<int Vectors>(int64_t c) {
        Tiles{0, strip.width(), strip.width()}.for_each([&](int64_t x) {
          gather_tile<Vectors>(at.window_rows, side, pitch, x * pitch + c, x * volume_pitch, steps,
                               result + x * result_pitch + c, result_pitch, past_caches, ahead);
        });
      };
      int64_t c = 0;
      for (; c + kStep <= channels; c += kStep) gather.template operator()<kTileVectors>(c);
      for (; c + kStep / 2 <= channels; c += kStep / 2) gather.template operator()<kTileVectors / 2>(c);
      for (; c < channels; c += kLanes<P>) gather.template operator()<1>(c);
    }
    if (!in_place) at.packing.band.unpack(at.band, strip.at_start(), to);
    if (gradient.take)
      gradient.take(gradient.taker, strip.image, strip.y, strip.y + strip.rows, strip.begin, strip.end);
  }
}

// Fewer rows leave the cache more room, if lines come in time.
constexpr int64_t kRows = 2, kRowsOfPlanes = kFetchesPlanes ? 2 : kMostRows;
constexpr int64_t kFittingFloats = 128 * 1024;

template <class T>
constexpr CorrelationKernels<T> kKernels{correlation_plan<T>, correlation_forward<T>, correlation_backward<T>, kRows,
                                         kRowsOfPlanes,       kFittingFloats};

}  // namespace

namespace TRYON_KERNELS_VARIANT {
extern const Table<CorrelationKernels> kCorrelation;
constinit const Table<CorrelationKernels> kCorrelation{kKernels<float>, kKernels<double>, kKernels<Half>,
                                                       kKernels<BFloat16>};
}  // namespace TRYON_KERNELS_VARIANT

#if defined(TRYON_KERNELS_HAS_AMX_TABLE)
namespace amx {
extern const Table<CorrelationKernels> kCorrelation;
constinit const Table<CorrelationKernels> kCorrelation{kKernels<float>, kKernels<double>, kKernels<Half>,
                                                       kMatrixKernels<kKernels<BFloat16>>};
}  // namespace amx
#endif
}  // namespace tryon_kernels
