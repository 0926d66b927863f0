#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/correlation.h"
#include "cpu/kernels/pixels.h"
#include "cpu/kernels/vector.h"

// The rows of an image that a piece's window covers, as the inner loops want them.
namespace tryon_kernels {
namespace {

// An image is worked through in strips of columns, so that the rows in use stay in the caches. Narrower strips would
// fit a smaller second level, but read more than they use of each plane's cache lines, which costs more.
constexpr int64_t kStripBytes = 1536 * 1024;
constexpr int64_t kSmallestStrip = 24;  // the radius's columns on both sides are packed with every strip

// How an image is cut into bands of rows, and these into strips of columns.
struct Bands {
  int64_t strips, width, count;

  Bands(const Window& window, int64_t pixel_bytes) {
    const int64_t fitting = kStripBytes / ((window.side() + window.band_rows) * pixel_bytes);
    const int64_t most = std::max(fitting - 2 * window.radius, kSmallestStrip);
    width = std::max<int64_t>(8, round_up(parts(window.width, parts(std::max<int64_t>(1, window.width), most)), 8));
    strips = parts(window.width, width);
    count = parts(window.height, window.band_rows);
  }
};

// A strip of a band. Those below one another have neighbouring numbers.
struct Piece {
  int64_t image, y, rows, begin, end;

  Piece(const Window& window, const Bands& bands, int64_t index)
      : image(index / (bands.strips * bands.count)),
        y(index % bands.count * window.band_rows),
        rows(std::min(window.band_rows, window.height - y)),
        begin(index / bands.count % bands.strips * bands.width),
        end(std::min(begin + bands.width, window.width)) {}

  int64_t width() const { return end - begin; }

  // The same in an image that starts with its first pixel.
  Piece at_start() const {
    Piece piece = *this;
    piece.image = piece.y = piece.begin = 0;
    piece.end = width();
    return piece;
  }
};

// An image from one of its pixels on.
template <class T>
Image<T> starting_at(Image<T> image, int64_t n, int64_t y, int64_t x) {
  image.data = pixels_of(image, n, 0, y, x).data;
  return image;
}

// The columns [begin, end) of the rows [first, last), as an image that starts with the first of these pixels.
template <class T>
Image<const T> rows_of(const RowSource<T>& source, int64_t n, int64_t first, int64_t last, int64_t begin, int64_t end) {
  return source.make ? source.make(source.maker, n, first, last, begin, end)
                     : starting_at(source.image, n, first, begin);
}

// Whether lines of planes can be fetched ahead, each of another page. Where a variant stands for one maker's CPUs this
// was measured: AMD's gain a quarter, Intel's lose a tenth.
#if defined(__AVX512BF16__)
constexpr bool kFetchesPlanes = true;
#else
constexpr bool kFetchesPlanes = false;
#endif

// Brings what the next piece reads towards the second-level cache, a little at a time while this one is computed. Only
// whole rows of a map that has no gaps: lines that follow one another where channels are together, and some of each
// plane where they are not.
class Ahead {
 public:
  // The rows of a piece that lie `below` those of this one.
  template <class T>
  void add(const Image<T>& image, int64_t channels, const Window& window, const Piece& piece, int64_t below) {
    constexpr int64_t kBytes = sizeof(T);
    const int64_t y = piece.y + below, rows = std::min(piece.rows, window.height - y);
    if (piece.width() != window.width || rows <= 0) return;
    const auto* start = reinterpret_cast<const char*>(pixels_of(image, piece.image, 0, y, 0).data);
    const int64_t lines = parts(rows * image.row * kBytes, kLineBytes);
    if (image.channel == 1 && image.row == window.width * image.column) {
      runs_[count_++] = {start, kLineBytes, 1, lines};
    } else if (kFetchesPlanes && image.column == 1 && image.row == window.width) {
      runs_[count_++] = {start, image.channel * kBytes, lines, channels};
    }
  }

  // All of it in so many times, or nearly.
  void divide_by(int64_t times) { share_ = parts(runs_[0].visits + runs_[1].visits, times); }

  void fetch() {
    if (at_ == count_) return;
    Run& run = runs_[at_];
    const int64_t visits = std::min(share_, run.visits);
    for (int64_t visit = 0; visit < visits; ++visit, run.start += run.step) {
      __builtin_prefetch(run.start, 0, 2);
      for (int64_t line = 1; line < run.lines; ++line) __builtin_prefetch(run.start + line * kLineBytes, 0, 2);
    }
    run.visits -= visits;
    at_ += run.visits == 0;
  }

 private:
  // So many lines that follow one another, as many again a step further, and so on.
  struct Run {
    const char* start = nullptr;
    int64_t step = 0, lines = 0, visits = 0;
  };
  Run runs_[2];
  int count_ = 0, at_ = 0;
  int64_t share_ = 0;
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

  // A piece of an image to packed rows, or back.
  template <class T>
  void pack(const Image<const T>& image, const Piece& piece, P* to) const {
    for_each_channel_block<P>(image, channels, [&](int64_t c, int64_t count) {
      for (int64_t i = 0; i < piece.rows; ++i)
        copy_pixels(pixels_of(image, piece.image, c, piece.y + i, piece.begin), pixels(to, i, c), count, piece.width());
    });
  }
  template <class T>
  void unpack(const P* from, const Piece& piece, const Image<T>& image) const {
    for_each_channel_block<P>(image, channels, [&](int64_t c, int64_t count) {
      for (int64_t i = 0; i < piece.rows; ++i)
        copy_pixels(Pixels<const P>{from + i * row() + c, 1, pitch},
                    pixels_of(image, piece.image, c, piece.y + i, piece.begin), count, piece.width());
    });
  }
};

// Keeps the rows y - radius .. y + rows - 1 + radius of a piece in as many slots. Going down a strip fills each once.
class Ring {
 public:
  Ring(const Window& window, int64_t radius) : height_(window.height), radius_(radius), slots_(slots(window, radius)) {}

  static int64_t slots(const Window& window, int64_t radius) { return 2 * radius + window.band_rows; }

  int64_t slot(int64_t y) const { return (y + radius_) % slots_; }

  // Whether the piece lies below the one before.
  bool goes_on(const Piece& piece) const {
    return piece.image == image_ && piece.begin == begin_ && piece.y == next_ - radius_;
  }

  // Calls clear(y) for rows outside and fill(first, last) for the others that are not there yet.
  template <class Clear, class Fill>
  void move_to(const Piece& piece, const Clear& clear, const Fill& fill) {
    if (!goes_on(piece)) {
      image_ = piece.image;
      begin_ = piece.begin;
      next_ = piece.y - radius_;
    }
    const int64_t end = piece.y + piece.rows + radius_;
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

// The rows around a piece, packed, with `radius` columns more on either side and zeros outside.
template <class T, class P>
class RowsAround {
 public:
  RowsAround(const Window& window, int64_t radius, const Packed<P>& packed, const RowSource<T>& from, P* memory)
      : ring_(window, radius), width_(window.width), radius_(radius), packed_(packed), from_(from), memory_(memory) {
    if (packed.channels % kLanes<P> != 0)
      std::fill_n(memory, size(window, radius, packed), P{0});  // vectors are read whole
  }

  static int64_t size(const Window& window, int64_t radius, const Packed<P>& packed) {
    return Ring::slots(window, radius) * packed.row();
  }

  // Calls finish(row, y, begin, end) on each row that it packs: its pixels begin .. end lie from `row` on.
  template <class Finish>
  void move_to(const Piece& piece, const Finish& finish) {
    ring_.move_to(
        piece, [&](int64_t y) { std::fill_n(slot(y), packed_.row(), P{0}); },
        [&](int64_t first, int64_t last) { pack(piece, first, last, finish); });
  }

  // First column holds the strip's first x - radius.
  const P* row(int64_t y) const { return slot(y); }

 private:
  P* slot(int64_t y) const { return memory_ + ring_.slot(y) * packed_.row(); }

  template <class Finish>
  void pack(const Piece& piece, int64_t first, int64_t last, const Finish& finish) {
    const int64_t left = piece.begin - radius_, pitch = packed_.pitch;
    const int64_t begin = std::max<int64_t>(left, 0), end = std::min(left + packed_.columns, width_);
    const int64_t before = (begin - left) * pitch, behind = (end - left) * pitch;
    const int64_t at_a_time = from_.make ? kMostRows : last - first;
    for (int64_t next = first; next < last; next += at_a_time) {
      const int64_t rows = std::min(at_a_time, last - next);
      const Image<const T> from = rows_of(from_, piece.image, next, next + rows, begin, end);
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

// Memory that a call's workspace is cut into, one piece after the other.
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

}  // namespace
}  // namespace tryon_kernels
