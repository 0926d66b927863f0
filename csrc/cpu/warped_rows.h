#pragma once

#include <algorithm>
#include <optional>

#include "cpu/kernels/correlation.h"
#include "cpu/kernels/sample.h"
#include "cpu/kernels/scatter.h"
#include "cpu/variants.h"

// Rows of warped features and of their gradient, which exist only while a correlation's kernel needs them.
namespace tryon_kernels::cpu {

template <class T>
Image<T> moved(const Image<T>& image, int64_t n, int64_t channel) {
  return {image.data + n * image.image + channel * image.channel, image.image, image.channel, image.row, image.column};
}

template <class P>
Positions<P> moved(const Positions<P>& positions, int64_t n, int64_t y, int64_t x) {
  return {positions.data + n * positions.image + y * positions.row + x * positions.column, positions.image,
          positions.axis, positions.row, positions.column};
}

// Sampling of some rows and columns of the output only.
inline Sampling cropped(Sampling sampling, int64_t rows, int64_t columns) {
  sampling.out_height = rows;
  sampling.out_width = columns;
  return sampling;
}

// Room for a few rows, and how rows of some width lie in it: channels together where those of the features are.
template <class T>
struct Rows {
  T* memory;
  int64_t channels, widest;
  bool channels_together;

  static int64_t bytes(int64_t channels, int64_t widest) {
    return kMostRows * widest * channels * static_cast<int64_t>(sizeof(T));
  }

  Image<T> of_width(int64_t width) const {
    if (channels_together) return {memory, 0, 1, width * channels, channels};
    return {memory, 0, kMostRows * widest, width, 1};
  }
};

// Makes rows of the warped features.
template <class T>
class WarpedRows {
 public:
  WarpedRows(const Sampling& sampling, const Image<const T>& first, const Positions<const Wide<T>>& positions,
             void* memory)
      : sampling_(sampling),
        first_(first),
        positions_(positions),
        rows_{static_cast<T*>(memory), sampling.channels, sampling.out_width,
              first.channel == 1 && sampling.channels > 1} {}

  RowSource<T> source() { return {{}, make, this}; }

 private:
  static Image<const T> make(void* maker, int64_t n, int64_t first, int64_t last, int64_t begin, int64_t end) {
    return static_cast<WarpedRows*>(maker)->make(n, first, last, begin, end);
  }

  // As many rows as there is room for, because the next ones will be wanted next.
  Image<const T> make(int64_t n, int64_t first, int64_t last, int64_t begin, int64_t end) {
    const Image<T> rows = rows_.of_width(end - begin);
    if (n != image_ || begin != begin_ || end != end_ || first < first_row_ || last > last_row_) {
      image_ = n, begin_ = begin, end_ = end;
      first_row_ = first, last_row_ = std::min(first + kMostRows, sampling_.out_height);
      const Sampling sampling = cropped(sampling_, last_row_ - first_row_, end - begin);
      sample_kernels<T>().forward(sampling, moved(first_, n, 0), moved(positions_, n, first, begin), rows, 0,
                                  sampling.out_height);
    }
    return {rows.data + (first - first_row_) * rows.row, 0, rows.channel, rows.row, rows.column};
  }

  const Sampling sampling_;
  const Image<const T> first_;
  const Positions<const Wide<T>> positions_;
  const Rows<T> rows_;
  int64_t image_ = -1, begin_ = 0, end_ = 0, first_row_ = 0, last_row_ = 0;  // what is in memory
};

// Takes rows of the warped features' gradient, for some channels of one image, and makes of them what they give to the
// gradients of the features and of the positions, as far as these are wanted.
template <class T>
struct WarpedGradients {
  using P = Wide<T>;
  Sampling sampling;             // of these channels
  Image<const T> first;          // of this image, from the first of these channels on
  Positions<const P> positions;  // of this image
  Rows<T> rows;
  std::optional<GradientSums<P>> sums;
  std::optional<Positions<P>> grad_positions;

  RowSink<T> sink() { return {rows.of_width(sampling.out_width), take, this}; }

 private:
  static void take(void* taker, int64_t, int64_t first_row, int64_t last_row, int64_t begin, int64_t end) {
    static_cast<const WarpedGradients*>(taker)->take(first_row, last_row - first_row, begin, end);
  }

  void take(int64_t y, int64_t count, int64_t begin, int64_t end) const {
    const Image<T> taken = rows.of_width(sampling.out_width);
    const Image<const T> gradients{taken.data, 0, taken.channel, taken.row, taken.column};
    if (sums) {
      for (int64_t row = 0; row < count; ++row)
        scatter_kernels<T>().add_row(cropped(sampling, 1, end - begin), from_row(gradients, row),
                                     moved(positions, 0, y + row, begin), *sums);
    }
    if (grad_positions)
      sample_kernels<T>().backward_positions(cropped(sampling, count, end - begin), gradients, first,
                                             moved(positions, 0, y, begin), moved(*grad_positions, 0, y, begin), 0,
                                             count);
  }

  static Image<const T> from_row(const Image<const T>& image, int64_t row) {
    return {image.data + row * image.row, image.image, image.channel, image.row, image.column};
  }
};

}  // namespace tryon_kernels::cpu
