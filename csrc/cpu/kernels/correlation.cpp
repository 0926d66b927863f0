#include "cpu/kernels/correlation.h"

#include <algorithm>
#include <utility>

#include "cpu/kernels/vector.h"

namespace tryon_kernels {
namespace {

constexpr int kTilePixels = 2;         // output pixels whose sums are in registers at once
constexpr int kTileDisplacements = 7;  // and horizontal displacements of each
constexpr int kTileVectors = 8;        // of channels, in the gradients

constexpr int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Rows of pixels as the inner loops want them: channels together, wide numbers, padded with zeros to whole vectors.
template <class P>
struct Layout {
  int64_t channels, columns, weights;

  explicit Layout(const Window& window)
      : channels(round_up(window.channels, kLanes<P>)),
        columns(round_up(window.width, kTilePixels) + 2 * window.radius),
        weights(round_up(window.width * window.side() * window.side(), kLanes<P>)) {}

  int64_t row() const { return columns * channels; }
};

template <class T, class P>
void pack_row(const Image<const T>& from, int64_t image, int64_t row, const Window& window, int64_t stride, P* to) {
  const T* source = from.data + image * from.image + row * from.row;
  if (from.channel == 1) {
    for (int64_t x = 0; x < window.width; ++x)
      for (int64_t c = 0; c < window.channels; ++c) to[x * stride + c] = widen(source[x * from.column + c]);
    return;
  }
  constexpr int64_t kBlock = 8;  // planes read side by side, so that whole cache lines are written
  for (int64_t begin = 0; begin < window.channels; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, window.channels);
    for (int64_t x = 0; x < window.width; ++x)
      for (int64_t c = begin; c < end; ++c) to[x * stride + c] = widen(source[c * from.channel + x * from.column]);
  }
}

template <class T, class P>
void unpack_row(const P* from, const Window& window, int64_t stride, const Image<T>& to, int64_t image, int64_t row) {
  T* target = to.data + image * to.image + row * to.row;
  if (to.channel == 1) {
    for (int64_t x = 0; x < window.width; ++x)
      for (int64_t c = 0; c < window.channels; ++c) target[x * to.column + c] = narrow<T>(from[x * stride + c]);
    return;
  }
  for (int64_t c = 0; c < window.channels; ++c)
    for (int64_t x = 0; x < window.width; ++x) target[c * to.channel + x * to.column] = narrow<T>(from[x * stride + c]);
}

// The rows y - radius .. y + radius of an image, packed, with zeros outside. Going down an image packs each row once.
template <class T, class P>
class RowsAround {
 public:
  RowsAround(const Window& window, const Layout<P>& layout, Image<const T> from, P* memory)
      : window_(window), layout_(layout), from_(from), memory_(memory) {}

  void move_to(int64_t image, int64_t y) {
    if (image != image_ || y != last_ - window_.radius + 1) {
      image_ = image;
      last_ = y - window_.radius - 1;
    }
    while (last_ < y + window_.radius) pack(++last_);
  }

  // First column holds x = -radius.
  const P* row(int64_t y) const { return slot(y); }

 private:
  P* slot(int64_t y) const { return memory_ + (y + window_.radius) % window_.side() * layout_.row(); }

  void pack(int64_t y) {
    if (y >= 0 && y < window_.height) {
      pack_row(from_, image_, y, window_, layout_.channels, slot(y) + window_.radius * layout_.channels);
    } else {
      std::fill_n(slot(y), layout_.row(), P{0});
    }
  }

  const Window& window_;
  const Layout<P>& layout_;
  const Image<const T> from_;
  P* const memory_;
  int64_t image_ = -1, last_ = -1;
};

// Scalar products of neighbouring pixels of one row with `Displacements` neighbours of each in another.
template <int Displacements, class P>
void multiply_tile(const P* first, const P* second, int64_t channels, P (*result)[kTileDisplacements]) {
  Vector<P> sums[kTilePixels][Displacements] = {};
  for (int64_t c = 0; c < channels; c += kLanes<P>) {
    Vector<P> pixels[kTilePixels];
#pragma GCC unroll 8
    for (int p = 0; p < kTilePixels; ++p) pixels[p] = load(first + p * channels + c);
#pragma GCC unroll 16
    for (int column = 0; column < kTilePixels + Displacements - 1; ++column) {
      const Vector<P> neighbour = load(second + column * channels + c);
#pragma GCC unroll 8
      for (int p = 0; p < kTilePixels; ++p) {
        const int displacement = column - p;
        if (displacement >= 0 && displacement < Displacements) sums[p][displacement] += pixels[p] * neighbour;
      }
    }
  }
  for (int p = 0; p < kTilePixels; ++p)
    for (int d = 0; d < Displacements; ++d) result[p][d] = sum_of_lanes<P>(sums[p][d]);
}

// The same for a number of displacements known at run time only.
template <class P, int... Less>
void multiply_tile(int64_t displacements, const P* first, const P* second, int64_t channels,
                   P (*result)[kTileDisplacements], std::integer_sequence<int, Less...>) {
  ((displacements == Less + 1 ? multiply_tile<Less + 1>(first, second, channels, result) : void()), ...);
}

// One image row's weights for every displacement, divided by the channels: what the gradient of a pixel takes from
// each neighbour. For the second operand the neighbour is the centre, so its displacement is mirrored.
template <class T, class P>
void pack_weights(const Window& window, Operand operand, const Image<const T>& grad_output,
                  const Activation<T>& activation, int64_t image, int64_t y, P* to) {
  const int64_t side = window.side(), count = side * side;
  const P scale = P{1} / static_cast<P>(window.channels);
  std::fill_n(to, window.width * count, P{0});
  for (int64_t k = 0; k < count; ++k) {
    const bool mirrored = operand == Operand::kSecond;
    const int64_t dy = mirrored ? k / side - window.radius : 0, dx = mirrored ? k % side - window.radius : 0;
    if (y + dy < 0 || y + dy >= window.height) continue;
    const int64_t channel = mirrored ? count - 1 - k : k;
    const auto at = [&](const Image<const T>& tensor, int64_t x) {
      return widen(
          tensor.data[image * tensor.image + channel * tensor.channel + (y + dy) * tensor.row + x * tensor.column]);
    };
    const int64_t begin = std::max<int64_t>(0, -dx), end = std::min(window.width, window.width - dx);
    for (int64_t x = begin; x < end; ++x) {
      const bool sloped = activation.used && !(at(activation.output, x + dx) > 0);
      to[x * count + k] = at(grad_output, x + dx) * (sloped ? activation.negative_slope * scale : scale);
    }
  }
}

// Weighted sums of the neighbours of each pixel of a row, for `Vectors` vectors of channels from `c` on.
template <int Vectors, class T, class P>
void gather_neighbours(const Window& window, const RowsAround<T, P>& rows, const P* weights, int64_t y, int64_t c,
                       int64_t channels, P* result) {
  const int64_t side = window.side();
  for (int64_t x = 0; x < window.width; ++x) {
    Vector<P> sums[Vectors] = {};
    const P* weight = weights + x * side * side;
    for (int64_t dy = 0; dy < side; ++dy) {
      const P* neighbour = rows.row(y + dy - window.radius) + x * channels + c;
      for (int64_t dx = 0; dx < side; ++dx, ++weight, neighbour += channels) {
        const Vector<P> factor = *weight - Vector<P>{};
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) sums[v] += factor * load(neighbour + v * kLanes<P>);
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(result + x * channels + c + v * kLanes<P>, sums[v]);
  }
}

template <class T>
int64_t correlation_workspace(const Window& window) {
  const Layout<Wide<T>> layout(window);
  const int64_t elements = (window.side() + 1) * layout.row() + layout.weights;
  return round_up(elements * static_cast<int64_t>(sizeof(Wide<T>)), kWorkspaceAlignment);
}

template <class T>
void correlation_forward(const Window& window, Image<const T> first, Image<const T> second,
                         const Activation<T>& activation, Image<T> output, void* workspace, int64_t begin,
                         int64_t end) {
  using P = Wide<T>;
  const Layout<P> layout(window);
  P* const memory = static_cast<P*>(workspace);
  P* const centres = memory + window.side() * layout.row();
  std::fill_n(memory, (window.side() + 1) * layout.row(), P{0});
  RowsAround<T, P> rows(window, layout, second, memory);
  const int64_t side = window.side();
  const P scale = P{1} / static_cast<P>(std::max<int64_t>(window.channels, 1));

  for (int64_t index = begin; index < end; ++index) {
    const int64_t image = index / window.height, y = index % window.height;
    rows.move_to(image, y);
    pack_row(first, image, y, window, layout.channels, centres);
    T* target = output.data + image * output.image + y * output.row;
    for (int64_t dy = 0; dy < side; ++dy) {
      const P* neighbours = rows.row(y + dy - window.radius);
      for (int64_t x = 0; x < window.width; x += kTilePixels) {
        const int64_t pixels = std::min<int64_t>(kTilePixels, window.width - x);
        for (int64_t dx = 0; dx < side; dx += kTileDisplacements) {
          const int64_t displacements = std::min<int64_t>(kTileDisplacements, side - dx);
          P sums[kTilePixels][kTileDisplacements];
          multiply_tile(displacements, centres + x * layout.channels, neighbours + (x + dx) * layout.channels,
                        layout.channels, sums, std::make_integer_sequence<int, kTileDisplacements>());
          for (int64_t p = 0; p < pixels; ++p) {
            for (int64_t d = 0; d < displacements; ++d) {
              const P mean = sums[p][d] * scale;
              const P value = activation.used && !(mean > 0) ? mean * activation.negative_slope : mean;
              target[(dy * side + dx + d) * output.channel + (x + p) * output.column] = narrow<T>(value);
            }
          }
        }
      }
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
  P* const result = memory + window.side() * layout.row();
  P* const weights = result + layout.row();
  std::fill_n(memory, window.side() * layout.row(), P{0});
  RowsAround<T, P> rows(window, layout, other, memory);
  constexpr int64_t kStep = kTileVectors * kLanes<P>;

  for (int64_t index = begin; index < end; ++index) {
    const int64_t image = index / window.height, y = index % window.height;
    rows.move_to(image, y);
    pack_weights(window, operand, grad_output, activation, image, y, weights);
    int64_t c = 0;
    for (; c + kStep <= layout.channels; c += kStep)
      gather_neighbours<kTileVectors>(window, rows, weights, y, c, layout.channels, result);
    for (; c < layout.channels; c += kLanes<P>)
      gather_neighbours<1>(window, rows, weights, y, c, layout.channels, result);
    unpack_row(result, window, layout.channels, gradient, image, y);
  }
}

template <class T>
constexpr CorrelationKernels<T> kKernels{correlation_workspace<T>, correlation_forward<T>, correlation_backward<T>};

}  // namespace

namespace TRYON_KERNELS_VARIANT {
extern const Table<CorrelationKernels> kCorrelation;
constinit const Table<CorrelationKernels> kCorrelation{kKernels<float>, kKernels<double>, kKernels<Half>,
                                                       kKernels<BFloat16>};
}  // namespace TRYON_KERNELS_VARIANT
}  // namespace tryon_kernels
