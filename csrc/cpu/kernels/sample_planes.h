#pragma once

#include <algorithm>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/sample_positions.h"

// Sampling of images whose planes lie apart: lanes are output pixels, placed once for all channels.
namespace tryon_kernels {
namespace {

constexpr int64_t kChannels = 4;  // are sampled at a time with the weights that are in registers

// How a vector's taps are read.
enum class Reading : uint8_t {
  kRun,      // all within, and its pixels' taps follow one another: as vectors
  kWithin,   // all within: pair by pair
  kPartial,  // some are outside: pair by pair, and what is no tap is left out
};

// Pixels that follow one another in the output. Each reads two neighbours from two rows; at the edges one of a pair is
// no tap. Sums over `tap = row[j] * column[i] * value[j][i]` give the sample, and its changes with x and y likewise.
template <class P>
struct Block {
  int64_t image, start, count;
  Along<P> x, y;
  PerPixel<P, int32_t> pair[2];  // offset of each row's pair
  PerPixel<P, P> column[2], row[2];
  PerPixel<P, P> column_change[2], row_change[2];  // with x and with y; 0 for what is no tap
  Reading reading[kPixels];                        // of each vector
};

template <class P>
inline Vector<P> where(Indices<P> mask, Vector<P> value) {
  return __builtin_convertvector(mask, Mask<P>) ? value : Vector<P>{};
}

template <class P>
inline Indices<P> confined(Indices<P> index, int32_t last) {
  index = index < 0 ? Indices<P>{} : index;
  return index > last ? Indices<P>{} + last : index;
}

template <class P>
void place(const Sampling& sampling, int64_t row_stride, Block<P>& block) {
  const int32_t height = static_cast<int32_t>(sampling.height), width = static_cast<int32_t>(sampling.width);
  const int32_t stride = static_cast<int32_t>(row_stride);
  const Vector<P> zero{}, one = zero + 1;
  Indices<P> lanes;
  for (int32_t lane = 0; lane < kLanes<P>; ++lane) lanes[lane] = lane;
  store_lanes(block.x.first + block.count, Indices<P>{});
  store_lanes(block.y.first + block.count, Indices<P>{});
  store_lanes(block.x.fraction + block.count, zero);
  store_lanes(block.y.fraction + block.count, zero);
  for (int64_t i = 0; i < block.count; i += kLanes<P>) {
    const auto left = load_lanes<Indices<P>>(block.x.first + i), top = load_lanes<Indices<P>>(block.y.first + i);
    const Vector<P> u = load_wide(block.x.fraction + i), v = load_wide(block.y.fraction + i);
    const Indices<P> first = confined<P>(left, width - 2);
    const Indices<P> row[2] = {confined<P>(top, height - 1), confined<P>(top + 1, height - 1)};
    const Indices<P> pair[2] = {row[0] * stride + first, row[1] * stride + first};
    // Which of a pair is the left tap and which the right one.
    const Indices<P> both = left == first, only_left = left == first + 1, only_right = left + 1 == first;
    const Indices<P> upper = top == row[0], lower = top + 1 == row[1];
    store_lanes(block.column[0] + i, where<P>(both, one - u) + where<P>(only_right, u));
    store_lanes(block.column[1] + i, where<P>(both, u) + where<P>(only_left, one - u));
    store_lanes(block.column_change[0] + i, where<P>(only_right, one) - where<P>(both, one));
    store_lanes(block.column_change[1] + i, where<P>(both, one) - where<P>(only_left, one));
    store_lanes(block.row[0] + i, where<P>(upper, one - v));
    store_lanes(block.row[1] + i, where<P>(lower, v));
    store_lanes(block.row_change[0] + i, -where<P>(upper, one));
    store_lanes(block.row_change[1] + i, where<P>(lower, one));
    for (int j = 0; j < 2; ++j) store_lanes(block.pair[j] + i, pair[j]);
    const Indices<P> apart = (pair[0] - pair[0][0] - lanes) | (pair[1] - pair[1][0] - lanes);
    block.reading[i / kLanes<P>] = !is_zero(~(both & upper & lower)) ? Reading::kPartial
                                   : is_zero(apart)                  ? Reading::kRun
                                                                     : Reading::kWithin;
  }
}

// Calls body(block) for blocks of the output rows [begin, end), which are numbered through all images.
template <class P, class Body>
void for_each_block(const Sampling& sampling, const Positions<const P>& positions, int64_t row_stride, int64_t begin,
                    int64_t end, const Body& body) {
  Block<P> block;
  for (int64_t index = begin; index < end;) {
    block.image = index / sampling.out_height;
    const int64_t row = index % sampling.out_height, rows = std::min(sampling.out_height - row, end - index);
    const int64_t last = (row + rows) * sampling.out_width;
    for (block.start = row * sampling.out_width; block.start < last; block.start += block.count) {
      block.count = std::min(kPixels, last - block.start);
      for (int64_t i = 0; i < block.count;) {
        const int64_t y = (block.start + i) / sampling.out_width, x = (block.start + i) % sampling.out_width;
        const int64_t count = std::min(block.count - i, sampling.out_width - x);
        locate(sampling, positions, block.image, y, x, count, i, block.x, block.y);
        i += count;
      }
      place(sampling, row_stride, block);
      body(block);
    }
    index += rows;
  }
}

template <class Body>
inline void with_reading(Reading reading, const Body& body) {
  switch (reading) {
    case Reading::kRun:
      return body.template operator()<Reading::kRun>();
    case Reading::kWithin:
      return body.template operator()<Reading::kWithin>();
    default:
      return body.template operator()<Reading::kPartial>();
  }
}

template <Reading R, class T, class P>
inline void read_taps(const T* plane, const Block<P>& block, int64_t i, Vector<P> (&value)[2][2]) {
  for (int j = 0; j < 2; ++j) {
    const int32_t* pair = block.pair[j] + i;
    if constexpr (R == Reading::kRun) {
      value[j][0] = load_wide(plane + pair[0]);
      value[j][1] = load_wide(plane + pair[0] + 1);
    } else {
      read_pairs(plane, pair, value[j][0], value[j][1]);
    }
    if constexpr (R == Reading::kPartial) {
      const auto row = load_wide(block.row_change[j] + i) != 0;
      for (int k = 0; k < 2; ++k) {
        const auto is_tap = row & (load_wide(block.column_change[k] + i) != 0);
        value[j][k] = (Vector<P>)((decltype(is_tap))value[j][k] & is_tap);
      }
    }
  }
}

// Whether offsets in a plane fit the blocks' and pairs of columns can be read.
template <class T>
bool has_planes(const Sampling& sampling, const Image<const T>& image) {
  return image.column == 1 && sampling.width > 1 && (sampling.height - 1) * image.row + sampling.width <= INT32_MAX;
}

template <class T>
bool has_whole_planes(const Sampling& sampling, const Image<T>& output) {
  return output.column == 1 && output.row == sampling.out_width;
}

template <class T>
void sample_planes(const Sampling& sampling, const Image<const T>& input, const Positions<const Wide<T>>& positions,
                   const Image<T>& output, int64_t begin, int64_t end) {
  using P = Wide<T>;
  constexpr int64_t kStep = kLanes<P>;
  for_each_block<P>(sampling, positions, input.row, begin, end, [&](const Block<P>& block) {
    const T* source = input.data + block.image * input.image;
    T* target = output.data + block.image * output.image + block.start;
    for (int64_t channel = 0; channel < sampling.channels; channel += kChannels) {
      const int64_t last = std::min(sampling.channels, channel + kChannels);
      for (int64_t i = 0; i < block.count; i += kStep) {
        Vector<P> weight[2][2];
        for (int j = 0; j < 2; ++j)
          for (int k = 0; k < 2; ++k) weight[j][k] = load_wide(block.row[j] + i) * load_wide(block.column[k] + i);
        const int64_t lanes = block.count - i;
        const T* plane = source + channel * input.channel;
        T* to = target + channel * output.channel + i;
        with_reading(block.reading[i / kStep],
                     [&, input_step = input.channel, output_step = output.channel]<Reading R>() {
                       for (int64_t c = channel; c < last; ++c, plane += input_step, to += output_step) {
                         Vector<P> value[2][2];
                         read_taps<R>(plane, block, i, value);
                         Vector<P> sum = weight[0][0] * value[0][0];
                         sum += weight[0][1] * value[0][1];
                         sum += weight[1][0] * value[1][0];
                         sum += weight[1][1] * value[1][1];
                         lanes >= kStep ? store_narrow<T>(to, sum) : store_some<T>(to, sum, lanes);
                       }
                     });
      }
    }
  });
}

template <class T>
void differentiate_planes(const Sampling& sampling, const Image<const T>& grad_output, const Image<const T>& input,
                          const Positions<const Wide<T>>& positions, const Positions<Wide<T>>& grad_positions,
                          int64_t begin, int64_t end) {
  using P = Wide<T>;
  constexpr int64_t kStep = kLanes<P>;
  for_each_block<P>(sampling, positions, input.row, begin, end, [&](const Block<P>& block) {
    const T* source = input.data + block.image * input.image;
    const T* grads = grad_output.data + block.image * grad_output.image + block.start;
    P by_x[kPixels] = {}, by_y[kPixels] = {};
    for (int64_t channel = 0; channel < sampling.channels; channel += kChannels) {
      const int64_t last = std::min(sampling.channels, channel + kChannels);
      for (int64_t i = 0; i < block.count; i += kStep) {
        const int64_t lanes = block.count - i;
        Vector<P> x = load_wide(by_x + i), y = load_wide(by_y + i);
        with_reading(block.reading[i / kStep], [&]<Reading R>() {
          for (int64_t c = channel; c < last; ++c) {
            const T* from = grads + c * grad_output.channel + i;
            const Vector<P> grad = lanes >= kStep ? load_wide(from) : load_some(from, lanes);
            Vector<P> value[2][2];
            read_taps<R>(source + c * input.channel, block, i, value);
            for (int j = 0; j < 2; ++j) {
              Vector<P> change = load_wide(block.column_change[0] + i) * value[j][0];
              change += load_wide(block.column_change[1] + i) * value[j][1];
              Vector<P> mixed = load_wide(block.column[0] + i) * value[j][0];
              mixed += load_wide(block.column[1] + i) * value[j][1];
              x += grad * load_wide(block.row[j] + i) * change;
              y += grad * load_wide(block.row_change[j] + i) * mixed;
            }
          }
        });
        std::memcpy(by_x + i, &x, sizeof x);
        std::memcpy(by_y + i, &y, sizeof y);
      }
    }
    P* image = grad_positions.data + block.image * grad_positions.image;
    int64_t row = block.start / sampling.out_width, column = block.start % sampling.out_width;
    for (int64_t i = 0; i < block.count; ++i) {
      P* pair = image + row * grad_positions.row + column * grad_positions.column;
      pair[0] = block.x.slope[i] != 0 ? by_x[i] * block.x.slope[i] : 0;
      pair[grad_positions.axis] = block.y.slope[i] != 0 ? by_y[i] * block.y.slope[i] : 0;
      if (++column == sampling.out_width) ++row, column = 0;
    }
  });
}

}  // namespace
}  // namespace tryon_kernels
