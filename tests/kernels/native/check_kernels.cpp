// The kernels without torch, against plain double loops: for machines on which torch does not run, such as an emulator,
// and for ThreadSanitizer, which does not know torch's threads.
// Prints one line a check that fails, then a summary; the exit status is 1 where any failed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu/kernels/correlation.h"
#include "cpu/kernels/distance.h"
#include "cpu/kernels/sample.h"
#include "cpu/kernels/scatter.h"

namespace tryon_kernels {
namespace TRYON_KERNELS_VARIANT {
extern const Table<CorrelationKernels> kCorrelation;
extern const Table<SampleKernels> kSample;
extern const Table<ScatterKernels> kScatter;
extern const Table<DistanceKernels> kDistance;
}  // namespace TRYON_KERNELS_VARIANT

namespace {

int checks = 0, failures = 0;

double uniform(double low, double high) {
  static uint64_t state = 0;  // splitmix64
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return low + (high - low) * static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// Relative distance of neighbouring numbers.
template <class T>
constexpr double kSpacing = std::numeric_limits<T>::epsilon();
template <>
constexpr double kSpacing<Half> = 0x1p-10;
template <>
constexpr double kSpacing<BFloat16> = 0x1p-7;

struct Shape {
  int64_t images, channels, height, width;
  int64_t count() const { return images * channels * height * width; }
};

// A tensor that owns its elements, channels first or last.
template <class T>
struct Tensor {
  Shape shape;
  std::vector<T> elements;
  Image<T> image;

  Tensor(const Shape& s, bool channels_last) : shape(s), elements(s.count()) {
    image = channels_last
                ? Image<T>{elements.data(), s.channels * s.height * s.width, 1, s.width * s.channels, s.channels}
                : Image<T>{elements.data(), s.channels * s.height * s.width, s.height * s.width, s.width, 1};
    for (T& element : elements) element = narrow<T>(static_cast<Wide<T>>(uniform(-1, 1)));
  }

  T& at(int64_t n, int64_t c, int64_t y, int64_t x) {
    return image.data[n * image.image + c * image.channel + y * image.row + x * image.column];
  }
  // 0 outside.
  double value(int64_t n, int64_t c, int64_t y, int64_t x) {
    const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
    return inside ? static_cast<double>(widen(at(n, c, y, x))) : 0;
  }
  Image<const T> constant() const { return {image.data, image.image, image.channel, image.row, image.column}; }
};

// A sum of so many products, of such a size in all, rounds once an addition and a few times around it; the result once
// more, to its own format.
template <class T>
void expect_near(const char* what, double found, double wanted, int64_t products, double size) {
  ++checks;
  const double rounded = static_cast<double>(products + 8) * kSpacing<Wide<T>> * size;
  const double bound = rounded + kSpacing<T> * std::abs(wanted);
  if (std::abs(found - wanted) <= bound) return;
  if (++failures <= 20) std::printf("%s: found %.9g, wanted %.9g within %.2g\n", what, found, wanted, bound);
}

// Calls body(begin, end) for the two halves of [0, count), each in a thread of its own.
template <class Body>
void in_threads(int64_t count, const Body& body) {
  std::thread other([&] { body(int64_t{0}, count / 2); });
  body(count / 2, count);
  other.join();
}

template <class T>
void check_correlation(const Shape& shape, int64_t radius, double slope, bool channels_last) {
  const auto& kernels = std::get<CorrelationKernels<T>>(TRYON_KERNELS_VARIANT::kCorrelation);
  const CorrelationSizes sizes{shape.channels, shape.height, shape.width, radius};
  const CorrelationPlan plan = kernels.plan(sizes);
  const int64_t side = sizes.side(), strips = shape.images * plan.strips;
  const Shape volume{shape.images, side * side, shape.height, shape.width};
  Tensor<T> first(shape, channels_last), second(shape, !channels_last), output(volume, channels_last);
  Tensor<T> grad(volume, !channels_last), grad_first(shape, channels_last), grad_second(shape, channels_last);
  const auto in_threads_with_workspace = [&](const auto& body) {
    in_threads(strips, [&](int64_t begin, int64_t end) {
      std::vector<char> memory(plan.workspace + kWorkspaceAlignment);
      void* workspace = memory.data();
      size_t space = memory.size();
      std::align(kWorkspaceAlignment, space - kWorkspaceAlignment, workspace, space);
      body(workspace, begin, end);
    });
  };

  Activation<T> activation{static_cast<Wide<T>>(slope), {}, slope != 1};
  in_threads_with_workspace([&](void* workspace, int64_t begin, int64_t end) {
    kernels.forward(sizes, {first.constant()}, second.constant(), activation, output.image, workspace, begin, end);
  });
  activation.output = output.constant();
  const auto backward = [&](Operand operand, Tensor<T>& other, Tensor<T>& gradient) {
    in_threads_with_workspace([&](void* workspace, int64_t begin, int64_t end) {
      kernels.backward(sizes, operand, grad.constant(), activation, {other.constant()}, {gradient.image}, workspace,
                       begin, end);
    });
  };
  backward(Operand::kFirst, second, grad_first);
  backward(Operand::kSecond, first, grad_second);

  const auto channels = static_cast<double>(shape.channels);
  for (int64_t n = 0; n < shape.images; ++n)
    for (int64_t y = 0; y < shape.height; ++y)
      for (int64_t x = 0; x < shape.width; ++x) {
        std::vector<double> first_sums(shape.channels), second_sums(shape.channels);
        for (int64_t k = 0; k < side * side; ++k) {
          const int64_t dy = k / side - radius, dx = k % side - radius;
          double mean = 0;
          for (int64_t c = 0; c < shape.channels; ++c)
            mean += first.value(n, c, y, x) * second.value(n, c, y + dy, x + dx) / channels;
          expect_near<T>("correlation", output.value(n, k, y, x), mean > 0 ? mean : slope * mean, shape.channels, 1);
          const auto slope_at = [&](int64_t row, int64_t column) {
            return output.value(n, k, row, column) > 0 ? 1 : slope;
          };
          for (int64_t c = 0; c < shape.channels; ++c) {
            first_sums[c] += grad.value(n, k, y, x) * slope_at(y, x) * second.value(n, c, y + dy, x + dx) / channels;
            second_sums[c] += grad.value(n, k, y - dy, x - dx) * slope_at(y - dy, x - dx) *
                              first.value(n, c, y - dy, x - dx) / channels;
          }
        }
        for (int64_t c = 0; c < shape.channels; ++c) {
          expect_near<T>("gradient of first", grad_first.value(n, c, y, x), first_sums[c], side * side,
                         side * side / channels);
          expect_near<T>("gradient of second", grad_second.value(n, c, y, x), second_sums[c], side * side,
                         side * side / channels);
        }
      }
}

// The pixel position of an output pixel, kept away from whole numbers, where a derivative jumps.
double position(int64_t size) { return std::floor(uniform(-3, static_cast<double>(size) + 2)) + uniform(0.1, 0.9); }

// What a position is made from, and its derivative by that.
struct Coordinate {
  double given, scale;
};

Coordinate coordinate(Coordinates kind, double at, int64_t own, int64_t size) {
  const auto length = static_cast<double>(size);
  if (kind == Coordinates::kPixelOffsets) return {at - static_cast<double>(own), 1};
  if (kind == Coordinates::kEdgesAligned) return {(2 * at + 1) / length - 1, length / 2};
  return {2 * at / (length - 1) - 1, (length - 1) / 2};
}

// Along one axis: the taps, their weights, and the derivative of the upper one's weight.
struct Taps {
  int64_t low;
  double upper, derivative;

  Taps(double at, int64_t size, bool border) {
    const double last = static_cast<double>(size - 1), moved = border ? std::clamp(at, 0.0, last) : at;
    low = static_cast<int64_t>(std::floor(moved));
    upper = moved - static_cast<double>(low);
    derivative = moved == at ? 1 : 0;
  }
};

// The input's gradient, row by row of the output, and what it is to be: sums of so many products, of such a size.
template <class T>
void check_scattering(const Sampling& sampling, int64_t images, Tensor<T>& grad, const Positions<const Wide<T>>& at,
                      const std::vector<double>& wanted, double size) {
  using P = Wide<T>;
  const auto& kernels = std::get<ScatterKernels<T>>(TRYON_KERNELS_VARIANT::kScatter);
  Tensor<T> found({images, sampling.channels, sampling.height, sampling.width}, grad.image.channel == 1);
  Sampling row = sampling;
  row.out_height = 1;
  size_t next = 0;
  for (int64_t n = 0; n < images; ++n) {
    const int64_t pitch = pitch_of_sums(sampling.channels);
    std::vector<P> memory(sampling.height * sampling.width * pitch);
    for (int64_t y = 0; y < sampling.out_height; ++y) {
      Image<const T> gradients = grad.constant();
      gradients.data += n * gradients.image + y * gradients.row;
      kernels.add_row(row, gradients, {at.data + n * at.image + y * at.row, 0, at.axis, at.row, at.column},
                      {memory.data(), pitch});
    }
    Image<T> image = found.image;
    image.data += n * image.image;
    kernels.store(sampling, {memory.data(), pitch}, image);
    for (int64_t c = 0; c < sampling.channels; ++c)
      for (int64_t y = 0; y < sampling.height; ++y)
        for (int64_t x = 0; x < sampling.width; ++x)
          expect_near<T>("gradient of the input", found.value(n, c, y, x), wanted[next++], 4, size);
  }
}

template <class T>
void check_sampling(const Shape& shape, int64_t out_height, int64_t out_width, Coordinates kind, bool border,
                    bool channels_last) {
  using P = Wide<T>;
  const auto& kernels = std::get<SampleKernels<T>>(TRYON_KERNELS_VARIANT::kSample);
  const Sampling sampling{kind, border, shape.channels, shape.height, shape.width, out_height, out_width};
  const Shape out{shape.images, shape.channels, out_height, out_width}, pairs{shape.images, 2, out_height, out_width};
  Tensor<T> input(shape, channels_last), output(out, channels_last), grad(out, !channels_last);
  Tensor<P> given(pairs, false), grad_given(pairs, false);
  std::vector<double> pixels;
  for (int64_t n = 0; n < out.images; ++n)
    for (int64_t y = 0; y < out_height; ++y)
      for (int64_t x = 0; x < out_width; ++x)
        for (const int64_t axis : {0, 1}) {
          const int64_t size = axis == 0 ? shape.width : shape.height;
          pixels.push_back(position(size));
          given.at(n, axis, y, x) = static_cast<P>(coordinate(kind, pixels.back(), axis == 0 ? x : y, size).given);
        }
  const auto positions = [](Tensor<P>& tensor) {
    const Image<P>& image = tensor.image;
    return Positions<P>{image.data, image.image, image.channel, image.row, image.column};
  };
  const Positions<P> from = positions(given);
  const Positions<const P> at{from.data, from.image, from.axis, from.row, from.column};
  const int64_t rows = out.images * out_height;
  in_threads(rows, [&](int64_t begin, int64_t end) {
    kernels.forward(sampling, input.constant(), at, output.image, begin, end);
    kernels.backward_positions(sampling, grad.constant(), input.constant(), at, positions(grad_given), begin, end);
  });
  Tensor<T> grad_input(shape, channels_last);
  std::vector<Reach> reaches(rows * segments_of_row(sampling));
  in_threads(rows, [&](int64_t begin, int64_t end) { kernels.reach(sampling, at, reaches.data(), begin, end); });
  const int64_t channels = channels_of_band(shape.channels);
  for (int64_t n = 0; n < shape.images; ++n)
    for (int64_t c = 0; c < shape.channels; c += channels)
      in_threads(shape.height, [&](int64_t begin, int64_t end) {
        std::vector<P> sums(shape.height * shape.width * channels);
        const Band band{n, c, begin, end - begin};
        kernels.backward_input(sampling, grad.constant(), at, reaches.data(), grad_input.image, band, sums.data());
      });

  // A position in float is off by its own rounding, and a sample by that times its slope of at most 4.
  const double off = 16 * static_cast<double>(std::max({shape.height, shape.width, out_height, out_width}) + 3);
  size_t next = 0;
  std::vector<double> input_sums(shape.count());  // indexed as `element` says
  std::vector<int64_t> hits(shape.count());
  const auto element = [&](int64_t n, int64_t c, int64_t y, int64_t x) {
    return ((n * shape.channels + c) * shape.height + y) * shape.width + x;
  };
  for (int64_t n = 0; n < out.images; ++n)
    for (int64_t y = 0; y < out_height; ++y)
      for (int64_t x = 0; x < out_width; ++x) {
        const double at_x = pixels[next++], at_y = pixels[next++];
        const Taps across(at_x, shape.width, border), down(at_y, shape.height, border);
        double by_x = 0, by_y = 0;
        for (int64_t c = 0; c < shape.channels; ++c) {
          double sample = 0;
          for (const int64_t dy : {0, 1})
            for (const int64_t dx : {0, 1}) {
              const double weight_x = dx ? across.upper : 1 - across.upper, weight_y = dy ? down.upper : 1 - down.upper;
              const int64_t row = down.low + dy, column = across.low + dx;
              const double tap = input.value(n, c, row, column), gradient = grad.value(n, c, y, x);
              sample += weight_x * weight_y * tap;
              if (row >= 0 && row < shape.height && column >= 0 && column < shape.width) {
                input_sums[element(n, c, row, column)] += weight_x * weight_y * gradient;
                ++hits[element(n, c, row, column)];
              }
              by_x += gradient * (dx ? 1 : -1) * across.derivative * weight_y * tap;
              by_y += gradient * (dy ? 1 : -1) * down.derivative * weight_x * tap;
            }
          expect_near<T>("sample", output.value(n, c, y, x), sample, 4, off);
        }
        const int64_t products = 4 * shape.channels;
        const double sizes = off + static_cast<double>(products);
        const double scale_x = coordinate(kind, at_x, x, shape.width).scale;
        const double scale_y = coordinate(kind, at_y, y, shape.height).scale;
        expect_near<P>("gradient by x", grad_given.value(n, 0, y, x), by_x * scale_x, products, sizes * scale_x);
        expect_near<P>("gradient by y", grad_given.value(n, 1, y, x), by_y * scale_y, products, sizes * scale_y);
      }
  for (int64_t n = 0; n < shape.images; ++n)
    for (int64_t c = 0; c < shape.channels; ++c)
      for (int64_t y = 0; y < shape.height; ++y)
        for (int64_t x = 0; x < shape.width; ++x) {
          const int64_t at_tap = element(n, c, y, x), products = hits[at_tap];
          expect_near<T>("gradient of input", grad_input.value(n, c, y, x), input_sums[at_tap], products,
                         off + static_cast<double>(products));
        }
  if (kind != Coordinates::kPixelOffsets)  // those depend on the row, and no row comes alone
    check_scattering<T>(sampling, out.images, grad, at, input_sums, static_cast<double>(out_height * out_width) * off);
}

template <class T>
void check_distance(int64_t count, bool relu) {
  const auto& kernels = std::get<DistanceKernels<T>>(TRYON_KERNELS_VARIANT::kDistance);
  const Shape shape{1, 1, 1, count};
  Tensor<T> features(shape, false), target(shape, false), along(shape, false);
  Tensor<T> activated(shape, false), grad_features(shape, false), grad_target(shape, false);
  if (count > 2) features.elements[1] = target.elements[1] = T{};
  constexpr double kByNumber = 0.5;
  const T* const kept = relu ? activated.image.data : features.image.data;
  const DistanceGradients<T> gradients{along.image.data, true, static_cast<Wide<T>>(kByNumber),
                                       grad_features.image.data, grad_target.image.data};
  std::vector<double> sums(2);
  in_threads(count, [&](int64_t begin, int64_t end) {
    sums[begin != 0] +=
        kernels.forward(features.image.data, target.image.data, relu ? activated.image.data : nullptr, begin, end);
    kernels.backward(gradients, kept, target.image.data, relu, begin, end);
  });
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double feature = features.value(0, 0, 0, i), value = relu ? std::max(feature, 0.0) : feature;
    const double apart = value - target.value(0, 0, 0, i);
    const double pull = apart == 0 ? 0 : std::copysign(kByNumber, apart);
    sum += std::abs(apart);
    if (relu) expect_near<T>("activated", activated.value(0, 0, 0, i), value, 0, 0);
    const double wanted = relu && feature <= 0 ? 0 : along.value(0, 0, 0, i) + pull;
    expect_near<T>("gradient of features", grad_features.value(0, 0, 0, i), wanted, 1, 2);
    expect_near<T>("gradient of target", grad_target.value(0, 0, 0, i), -pull, 0, 1);
  }
  expect_near<Wide<T>>("sum of distances", sums[0] + sums[1], sum, 256, 2 * static_cast<double>(count));
}

template <class T>
void check_all() {
  for (const bool relu : {true, false})
    for (const int64_t count : {1, 2, 50, 5000}) check_distance<T>(count, relu);
  for (const bool channels_last : {false, true})
    for (const bool border : {false, true})
      for (const Coordinates kind :
           {Coordinates::kPixelOffsets, Coordinates::kCornersAligned, Coordinates::kEdgesAligned})
        for (const int64_t channels : {1, 2, 3, 17, 64})
          for (const auto& [shape, height, width] :
               {std::tuple{Shape{2, channels, 7, 5}, 6, 11}, std::tuple{Shape{1, channels, 20, 70}, 21, 67}})
            check_sampling<T>(shape, height, width, kind, border, channels_last);
  for (const bool channels_last : {false, true})
    for (const double slope : {1.0, 0.1})
      for (const auto& [shape, radius] :
           {std::pair{Shape{1, 1, 1, 1}, 1}, std::pair{Shape{2, 5, 4, 7}, 3}, std::pair{Shape{1, 33, 9, 6}, 2},
            std::pair{Shape{2, 64, 5, 17}, 3}, std::pair{Shape{1, 16, 3, 20}, 10}})
        check_correlation<T>(shape, radius, slope, channels_last);
}

}  // namespace
}  // namespace tryon_kernels

int main() {
  using namespace tryon_kernels;
  check_all<float>();
  check_all<double>();
  check_all<Half>();
  check_all<BFloat16>();
  std::printf("%d passed, %d failed\n", checks - failures, failures);
  return failures != 0;
}
