#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/correlation.h"
#include "cpu/kernels/pixels.h"
#include "cpu/kernels/strips.h"

// What a strip needs of the other map: its own rows and columns, and as many around as the radius says, 0 outside the
// image. The channels of a pixel follow one another, and so do the pixels of a row.
//
//              radius                 radius
//             +------+---------------+------+ --
//             |                             |  radius
//             |      +---------------+      | --
//             |      |     strip     |      |
//             |      +---------------+      | --
//             |                             |  radius
//             +-----------------------------+ --
//
// Each of these rows has a slot in a ring. A strip that lies below the one before needs only its lowest rows anew, and
// these take the slots of those that are out of reach now.
namespace tryon_kernels {
namespace {

// Memory that a call's workspace is cut into, one part after the other.
class Workspace {
 public:
  explicit Workspace(void* memory) : start_(reinterpret_cast<uintptr_t>(memory)), next_(start_) {}

  template <class Number>
  Number* take(int64_t count) {
    auto* const taken = reinterpret_cast<Number*>(next_);
    next_ += round_up(count * static_cast<int64_t>(sizeof(Number)), kWorkspaceAlignment);
    return taken;
  }

  int64_t taken() const { return static_cast<int64_t>(next_ - start_); }

 private:
  const uintptr_t start_;
  uintptr_t next_;
};

// Whether an image's pixels can be used where they are, as whole vectors of the wide format.
template <class T, class P>
bool is_packed(const Image<T>& image, int64_t channels) {
  return std::is_same_v<std::remove_const_t<T>, P> && image.channel == 1 && channels % kLanes<P> == 0;
}

// Calls body(first, count) for the channels that are copied together, of all rows before the next ones. The last block
// may overlap the one before.
template <class P, class T, class Body>
void for_each_channel_block(const Image<T>& image, int64_t channels, const Body& body) {
  const int64_t block = image.channel == 1 ? channels : std::min(channels, kLanes<P>);
  for (int64_t c = 0; c < channels; c += block) body(std::min(c, channels - block), block);
}

// Packed pixels: a pixel's channels follow one another, and rows follow one another.
template <class P>
struct Packed {
  int64_t channels, pitch, columns;

  int64_t row() const { return columns * pitch; }
  Pixels<P> pixels(P* memory, int64_t row_index, int64_t c) const { return {memory + row_index * row() + c, 1, pitch}; }

  // A strip of an image to packed rows, or back.
  template <class T>
  void pack(const Image<const T>& image, const Strip& strip, P* to) const {
    for_each_channel_block<P>(image, channels, [&](int64_t c, int64_t count) {
      for (int64_t i = 0; i < strip.rows; ++i)
        copy_pixels(pixels_of(image, strip.image, c, strip.y + i, strip.begin), pixels(to, i, c), count, strip.width());
    });
  }
  template <class T>
  void unpack(const P* from, const Strip& strip, const Image<T>& image) const {
    // Rows without gaps are one long row.
    const bool whole = columns == strip.width() && image.row == columns * image.column;
    const int64_t rows = whole ? 1 : strip.rows, width = whole ? strip.rows * columns : strip.width();
    for_each_channel_block<P>(image, channels, [&](int64_t c, int64_t count) {
      for (int64_t i = 0; i < rows; ++i)
        copy_pixels(Pixels<const P>{from + i * row() + c, 1, pitch},
                    pixels_of(image, strip.image, c, strip.y + i, strip.begin), count, width);
    });
  }
};

// Keeps the rows y - radius .. y + rows - 1 + radius of a strip in as many slots. Going down a strip fills each once.
class Ring {
 public:
  Ring(const CorrelationSizes& sizes, int64_t radius)
      : height_(sizes.height), radius_(radius), slots_(slots(sizes, radius)) {}

  static int64_t slots(const CorrelationSizes& sizes, int64_t radius) { return 2 * radius + sizes.band_rows; }

  int64_t slot(int64_t y) const { return (y + radius_) % slots_; }

  // Whether the strip lies below the one before.
  bool goes_on(const Strip& strip) const {
    return strip.image == image_ && strip.begin == begin_ && strip.y == next_ - radius_;
  }

  // The first row that is not there yet.
  int64_t next(const Strip& strip) const { return goes_on(strip) ? next_ : strip.y - radius_; }

  // Calls clear(y) for rows outside and fill(first, last) for the others that are not there yet.
  template <class Clear, class Fill>
  void move_to(const Strip& strip, const Clear& clear, const Fill& fill) {
    if (!goes_on(strip)) {
      image_ = strip.image;
      begin_ = strip.begin;
      next_ = strip.y - radius_;
    }
    const int64_t end = strip.y + strip.rows + radius_;
    const int64_t first = std::clamp<int64_t>(next_, 0, height_), last = std::min(end, height_);
    for (int64_t y = next_; y < end; ++y)
      if (y < first || y >= last) clear(y);
    if (first < last) fill(first, last);
    next_ = end;
  }

 private:
  const int64_t height_, radius_, slots_;
  int64_t image_ = -1, begin_ = -1, next_ = -1;
};

// The rows around a strip, packed, with `radius` columns more on either side and zeros outside.
template <class T, class P>
class RowsAround {
 public:
  RowsAround(const CorrelationSizes& sizes, int64_t radius, const Packed<P>& packed, const RowSource<T>& from,
             P* memory)
      : ring_(sizes, radius), width_(sizes.width), radius_(radius), packed_(packed), from_(from), memory_(memory) {
    if (packed.channels % kLanes<P> != 0)
      std::fill_n(memory, size(sizes, radius, packed), P{0});  // vectors are read whole
  }

  static int64_t size(const CorrelationSizes& sizes, int64_t radius, const Packed<P>& packed) {
    return Ring::slots(sizes, radius) * packed.row();
  }

  // Calls finish(row, y, begin, end) on each row that it packs: its pixels begin .. end lie from `row` on.
  template <class Finish>
  void move_to(const Strip& strip, const Finish& finish) {
    ring_.move_to(
        strip, [&](int64_t y) { std::fill_n(slot(y), packed_.row(), P{0}); },
        [&](int64_t first, int64_t last) { pack(strip, first, last, finish); });
  }

  // First column holds the strip's first x - radius.
  const P* row(int64_t y) const { return slot(y); }

 private:
  P* slot(int64_t y) const { return memory_ + ring_.slot(y) * packed_.row(); }

  template <class Finish>
  void pack(const Strip& strip, int64_t first, int64_t last, const Finish& finish) {
    const int64_t left = strip.begin - radius_, pitch = packed_.pitch;
    const int64_t begin = std::max<int64_t>(left, 0), end = std::min(left + packed_.columns, width_);
    const int64_t before = (begin - left) * pitch, behind = (end - left) * pitch;
    const int64_t at_a_time = from_.make ? kMostRows : last - first;
    for (int64_t next = first; next < last; next += at_a_time) {
      const int64_t rows = std::min(at_a_time, last - next);
      const Image<const T> from = rows_of(from_, strip.image, next, next + rows, begin, end);
      for_each_channel_block<P>(from, packed_.channels, [&](int64_t c, int64_t count) {
        for (int64_t i = 0; i < rows; ++i)
          copy_pixels(pixels_of(from, 0, c, i, 0), Pixels<P>{slot(next + i) + before + c, 1, pitch}, count,
                      end - begin);
      });
    }
    for (int64_t y = first; y < last; ++y) {
      std::fill(slot(y), slot(y) + before, P{0});
      std::fill(slot(y) + behind, slot(y) + packed_.row(), P{0});
      finish(slot(y) + before, y, begin, end);
    }
  }

  Ring ring_;
  const int64_t width_, radius_;
  const Packed<P> packed_;
  const RowSource<T> from_;
  P* const memory_;
};

}  // namespace
}  // namespace tryon_kernels
