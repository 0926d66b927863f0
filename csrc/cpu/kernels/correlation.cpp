#include "cpu/kernels/correlation.h"

#include <algorithm>

#include "cpu/kernels/pack.h"
#include "cpu/kernels/vector.h"

namespace tryon_kernels {
namespace {

// What is in registers at once. A load serves up to three products, so the loads, of which a core does two a cycle,
// keep up with the multiply-adds, of which it also does two.
constexpr int kTilePixels = 3;                                // neighbours in a row
constexpr int kTileDisplacements = kRegisters == 32 ? 7 : 4;  // the product: so many horizontal displacements of each
constexpr int kTileVectors = kRegisters == 32 ? 8 : 4;        // the gradients: so many vectors of channels of each

// An image is worked through in strips of columns, so that the rows in use stay in the caches. Narrower strips would
// fit the second level, but read more than they use of each plane's cache lines, which costs more.
constexpr int64_t kStripBytes = 1024 * 1024;
constexpr int64_t kSmallestStrip = 24;  // the radius's columns on both sides are packed with every strip
constexpr int64_t kLineBytes = 64;

constexpr int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
constexpr int64_t parts(int64_t value, int64_t most) { return (value + most - 1) / most; }

// Memory for one call: the rows in use, a row of centres or results, and one image row's sums or weights.
template <class P>
struct Layout {
  int64_t channels;  // in whole vectors
  int64_t pitch;     // from pixel to pixel: an odd number of cache lines, so that neighbours do not share cache sets
  int64_t strips, width;
  int64_t columns;  // width in whole tiles

  explicit Layout(const Window& window) : channels(round_up(window.channels, kLanes<P>)) {
    constexpr int64_t kLine = kLineBytes / sizeof(P);
    pitch = round_up(channels, kLine);
    if (pitch / kLine % 2 == 0) pitch += kLine;
    const int64_t fitting = kStripBytes / ((window.side() + 1) * pitch * static_cast<int64_t>(sizeof(P)));
    const int64_t most = std::max(fitting - 2 * window.radius, kSmallestStrip);
    const int64_t least = std::max<int64_t>(1, parts(window.width, most));
    width = std::max<int64_t>(8, round_up(parts(window.width, least), 8));
    strips = parts(window.width, width);
    columns = round_up(std::min(width, window.width), kTilePixels);
  }

  int64_t row(const Window& window) const { return (columns + 2 * window.radius) * pitch; }
  int64_t rows(const Window& window) const { return (window.side() + 1) * row(window); }
  int64_t plane(const Window& window) const { return window.side() * (window.side() * columns + 1); }
};

// A strip of one image row.
struct Piece {
  int64_t image, y, begin, end;

  template <class P>
  Piece(const Window& window, const Layout<P>& layout, int64_t index)
      : image(index / (layout.strips * window.height)),
        y(index % window.height),
        begin(index / window.height % layout.strips * layout.width),
        end(std::min(begin + layout.width, window.width)) {}

  int64_t width() const { return end - begin; }
};

template <class T>
T* address(const Image<T>& image, int64_t n, int64_t y, int64_t x) {
  return image.data + n * image.image + y * image.row + x * image.column;
}

// The rows y - radius .. y + radius of a strip, packed, with zeros outside. Going down a strip packs each row once.
template <class T, class P>
class RowsAround {
 public:
  RowsAround(const Window& window, const Layout<P>& layout, Image<const T> from, P* memory)
      : window_(window), layout_(layout), from_(from), memory_(memory) {}

  void move_to(const Piece& piece) {
    if (piece.image != image_ || piece.begin != begin_ || piece.y != last_ - window_.radius + 1) {
      image_ = piece.image;
      begin_ = piece.begin;
      last_ = piece.y - window_.radius - 1;
    }
    while (last_ < piece.y + window_.radius) pack_row(++last_);
  }

  // First column holds the strip's first x - radius.
  const P* row(int64_t y) const { return slot(y); }

 private:
  P* slot(int64_t y) const { return memory_ + (y + window_.radius) % window_.side() * layout_.row(window_); }

  void pack_row(int64_t y) {
    P* const to = slot(y);
    const int64_t first = begin_ - window_.radius, count = layout_.columns + 2 * window_.radius;
    const bool within = y >= 0 && y < window_.height;
    const int64_t begin = within ? std::max<int64_t>(first, 0) : first;
    const int64_t end = within ? std::min(first + count, window_.width) : first;
    std::fill(to, to + (begin - first) * layout_.pitch, P{0});
    if (within)
      pack(address(from_, image_, y, begin), from_, window_.channels, end - begin, to + (begin - first) * layout_.pitch,
           layout_.pitch);
    std::fill(to + (end - first) * layout_.pitch, to + count * layout_.pitch, P{0});
  }

  const Window& window_;
  const Layout<P>& layout_;
  const Image<const T> from_;
  P* const memory_;
  int64_t image_ = -1, begin_ = -1, last_ = -1;
};

// Scalar products of the tile's pixels with `Displacements` neighbours of each. One displacement's sums go together,
// `stride` from the next one's; one number behind them is written too.
template <int Displacements, class P>
void multiply_tile(const P* first, const P* second, int64_t channels, int64_t pitch, P* sums, int64_t stride) {
  Vector<P> sum[Displacements][kTilePixels] = {};
  for (int64_t c = 0; c < channels; c += kLanes<P>) {
    Vector<P> pixels[kTilePixels];
#pragma GCC unroll 8
    for (int p = 0; p < kTilePixels; ++p) pixels[p] = load(first + p * pitch + c);
#pragma GCC unroll 16
    for (int column = 0; column < kTilePixels + Displacements - 1; ++column) {
      const Vector<P> neighbour = load(second + column * pitch + c);
#pragma GCC unroll 8
      for (int p = 0; p < kTilePixels; ++p) {
        const int displacement = column - p;
        if (displacement >= 0 && displacement < Displacements) sum[displacement][p] += pixels[p] * neighbour;
      }
    }
  }
#pragma GCC unroll 8
  for (int d = 0; d < Displacements; ++d)
    sums_of_lanes<P>(sum[d][0], sum[d][1], sum[d][2], Vector<P>{}, sums + d * stride);
}

// The same for a number of displacements known at run time only.
template <class P, int... Less>
void multiply_tile(int64_t displacements, const P* first, const P* second, int64_t channels, int64_t pitch, P* sums,
                   int64_t stride, std::integer_sequence<int, Less...>) {
  ((displacements == Less + 1 ? multiply_tile<Less + 1>(first, second, channels, pitch, sums, stride) : void()), ...);
}

// A row of the output from its sums.
template <class T, class P>
void finish_row(const P* sums, int64_t count, P scale, P negative_slope, T* to, int64_t stride) {
  const auto finish = [&](int64_t x) {
    const P mean = sums[x] * scale;
    return narrow<T>(mean > 0 ? mean : mean * negative_slope);
  };
  if (stride == 1) {
    for (int64_t x = 0; x < count; ++x) to[x] = finish(x);
  } else {
    for (int64_t x = 0; x < count; ++x) to[x * stride] = finish(x);
  }
}

// What the gradient of each pixel of a piece takes from each neighbour: the output's gradient, divided by the channels,
// one row of `columns` for a displacement. For the second operand the neighbour is the centre, so its displacement is
// mirrored.
template <class T, class P>
void pack_weights(const Window& window, Operand operand, const Image<const T>& grad_output,
                  const Activation<T>& activation, const Piece& piece, P* to, int64_t columns) {
  const int64_t side = window.side(), count = side * side;
  const P scale = P{1} / static_cast<P>(window.channels);
  const P slope = activation.negative_slope * scale;
  std::fill_n(to, columns * count, P{0});
  const bool mirrored = operand == Operand::kSecond;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t dy = mirrored ? k / side - window.radius : 0, dx = mirrored ? k % side - window.radius : 0;
    const int64_t y = piece.y + dy, channel = mirrored ? count - 1 - k : k;
    const int64_t begin = std::max(piece.begin, -dx), end = std::min(piece.end, window.width - dx);
    if (y < 0 || y >= window.height || begin >= end) continue;
    const T* grad = address(grad_output, piece.image, y, begin + dx) + channel * grad_output.channel;
    const T* sign = activation.used
                        ? address(activation.output, piece.image, y, begin + dx) + channel * activation.output.channel
                        : nullptr;
    P* weights = to + k * columns + begin - piece.begin;
    const auto write = [&](int64_t grad_stride, int64_t sign_stride) {
      if (sign == nullptr) {
        for (int64_t x = 0; x < end - begin; ++x) weights[x] = widen(grad[x * grad_stride]) * scale;
      } else {
        for (int64_t x = 0; x < end - begin; ++x)
          weights[x] = widen(grad[x * grad_stride]) * (widen(sign[x * sign_stride]) > 0 ? scale : slope);
      }
    };
    if (grad_output.column == 1 && (sign == nullptr || activation.output.column == 1)) {
      write(1, 1);
    } else {
      write(grad_output.column, activation.output.column);
    }
  }
}

// Adds one neighbour to the sums of the tile's pixels First .. Last, each with a weight of its own.
template <int First, int Last, int Vectors, class P>
inline void add_neighbour(const P* neighbour, const P* weights, int64_t columns,
                          Vector<P> (&sums)[kTilePixels][Vectors]) {
  Vector<P> weight[kTilePixels];
#pragma GCC unroll 8
  for (int p = First; p <= Last; ++p) weight[p] = weights[p - p * columns] - Vector<P>{};
#pragma GCC unroll 8
  for (int v = 0; v < Vectors; ++v) {
    const Vector<P> value = load(neighbour + v * kLanes<P>);
#pragma GCC unroll 8
    for (int p = First; p <= Last; ++p) sums[p][v] += weight[p] * value;
  }
}

// Weighted sums of the neighbours of the tile's pixels, for `Vectors` vectors of channels from `c` on.
template <int Vectors, class T, class P>
void gather_tile(const Window& window, const Layout<P>& layout, const RowsAround<T, P>& rows, const P* weights,
                 int64_t y, int64_t x, int64_t c, P* result) {
  const int64_t side = window.side(), pitch = layout.pitch, columns = layout.columns;
  Vector<P> sums[kTilePixels][Vectors] = {};
  for (int64_t dy = 0; dy < side; ++dy) {
    const P* neighbour = rows.row(y + dy - window.radius) + x * pitch + c;
    const P* weight = weights + dy * side * columns + x;
    const auto next = [&] {
      neighbour += pitch;
      weight += columns;
    };
    if (side == 1) {
      add_neighbour<0, 0>(neighbour, weight, columns, sums), next();
      add_neighbour<1, 1>(neighbour, weight, columns, sums), next();
      add_neighbour<2, 2>(neighbour, weight, columns, sums);
      continue;
    }
    add_neighbour<0, 0>(neighbour, weight, columns, sums), next();
    add_neighbour<0, 1>(neighbour, weight, columns, sums), next();
    for (int64_t dx = 2; dx < side; ++dx) add_neighbour<0, 2>(neighbour, weight, columns, sums), next();
    add_neighbour<1, 2>(neighbour, weight, columns, sums), next();
    add_neighbour<2, 2>(neighbour, weight, columns, sums);
  }
#pragma GCC unroll 8
  for (int p = 0; p < kTilePixels; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(result + (x + p) * pitch + c + v * kLanes<P>, sums[p][v]);
}

template <class T>
CorrelationPlan correlation_plan(const Window& window) {
  using P = Wide<T>;
  const Layout<P> layout(window);
  const int64_t elements = layout.rows(window) + layout.plane(window);
  return {window.height * layout.strips, round_up(elements * static_cast<int64_t>(sizeof(P)), kWorkspaceAlignment)};
}

template <class T>
void correlation_forward(const Window& window, Image<const T> first, Image<const T> second,
                         const Activation<T>& activation, Image<T> output, void* workspace, int64_t begin,
                         int64_t end) {
  using P = Wide<T>;
  const Layout<P> layout(window);
  P* const memory = static_cast<P*>(workspace);
  P* const centres = memory + window.side() * layout.row(window);
  P* const sums = memory + layout.rows(window);
  std::fill(memory, sums, P{0});
  RowsAround<T, P> rows(window, layout, second, memory);
  const int64_t side = window.side(), pitch = layout.pitch;
  const int64_t stride = layout.columns + 1;              // of the sums: a tile's are written with one more behind them
  const int64_t tiles = parts(side, kTileDisplacements);  // to cover the displacements with, evenly
  const P scale = P{1} / static_cast<P>(std::max<int64_t>(window.channels, 1));

  for (int64_t index = begin; index < end; ++index) {
    const Piece piece(window, layout, index);
    rows.move_to(piece);
    pack(address(first, piece.image, piece.y, piece.begin), first, window.channels, piece.width(), centres, pitch);
    for (int64_t dy = 0; dy < side; ++dy) {
      const P* neighbours = rows.row(piece.y + dy - window.radius);
      for (int64_t x = 0; x < piece.width(); x += kTilePixels) {
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t dx = side * tile / tiles, displacements = side * (tile + 1) / tiles - dx;
          multiply_tile(displacements, centres + x * pitch, neighbours + (x + dx) * pitch, layout.channels, pitch,
                        sums + dx * stride + x, stride, std::make_integer_sequence<int, kTileDisplacements>());
        }
      }
      for (int64_t dx = 0; dx < side; ++dx)
        finish_row(sums + dx * stride, piece.width(), scale, activation.negative_slope,
                   address(output, piece.image, piece.y, piece.begin) + (dy * side + dx) * output.channel,
                   output.column);
    }
  }
}

template <class T>
void correlation_backward(const Window& window, Operand operand, Image<const T> grad_output,
                          const Activation<T>& activation, Image<const T> other, Image<T> gradient, void* workspace,
                          int64_t begin, int64_t end) {
  using P = Wide<T>;
  const Layout<P> layout(window);
  P* const memory = static_cast<P*>(workspace);
  P* const result = memory + window.side() * layout.row(window);
  P* const weights = memory + layout.rows(window);
  std::fill(memory, weights, P{0});
  RowsAround<T, P> rows(window, layout, other, memory);
  constexpr int64_t kStep = kTileVectors * kLanes<P>;

  for (int64_t index = begin; index < end; ++index) {
    const Piece piece(window, layout, index);
    rows.move_to(piece);
    pack_weights(window, operand, grad_output, activation, piece, weights, layout.columns);
    int64_t c = 0;
    for (; c + kStep <= layout.channels; c += kStep)
      for (int64_t x = 0; x < piece.width(); x += kTilePixels)
        gather_tile<kTileVectors>(window, layout, rows, weights, piece.y, x, c, result);
    for (; c < layout.channels; c += kLanes<P>)
      for (int64_t x = 0; x < piece.width(); x += kTilePixels)
        gather_tile<1>(window, layout, rows, weights, piece.y, x, c, result);
    unpack(result, layout.pitch, window.channels, piece.width(), address(gradient, piece.image, piece.y, piece.begin),
           gradient);
  }
}

template <class T>
constexpr CorrelationKernels<T> kKernels{correlation_plan<T>, correlation_forward<T>, correlation_backward<T>};

}  // namespace

namespace TRYON_KERNELS_VARIANT {
extern const Table<CorrelationKernels> kCorrelation;
constinit const Table<CorrelationKernels> kCorrelation{kKernels<float>, kKernels<double>, kKernels<Half>,
                                                       kKernels<BFloat16>};
}  // namespace TRYON_KERNELS_VARIANT
}  // namespace tryon_kernels
