#pragma once

#include <algorithm>

#include "cpu/kernels/pixels.h"

// Pixels with their channels together, from and to any layout.
namespace tryon_kernels {
namespace {

// Of C vectors end to end, every C-th number from number `First` on.
template <int64_t C, int64_t First, class P, int64_t Source = 1>
inline Vector<P> every(const Vector<P> (&from)[C], Vector<P> found) {
  constexpr auto source = [](int64_t lane) {
    const int64_t number = lane * C + First - Source * kLanes<P>;
    if (number >= 0) return kLanes<P> + std::min(number, kLanes<P> - 1);
    return Source == 1 ? lane * C + First : lane;
  };
  found = shuffle<source, P>(found, from[Source]);
  if constexpr (Source + 1 < C) found = every<C, First, P, Source + 1>(from, found);
  return found;
}

// The way back: vector `Result` of the C vectors in which the lanes of all take turns.
template <int64_t C, int64_t Result, class P, int64_t Source = 1>
inline Vector<P> turns(const Vector<P> (&from)[C], Vector<P> found) {
  constexpr auto source = [](int64_t lane) {
    const int64_t number = Result * kLanes<P> + lane;
    if (number % C == Source) return kLanes<P> + number / C;
    return Source == 1 ? number / C : lane;
  };
  found = shuffle<source, P>(found, from[Source]);
  if constexpr (Source + 1 < C) found = turns<C, Result, P, Source + 1>(from, found);
  return found;
}

// A vector of pixels whose C channels lie together, as one vector for each channel.
template <int64_t C, class T, class P = Wide<T>>
inline void load_interleaved(const T* from, int64_t pixels, Vector<P> (&channel)[C]) {
  T some[C * kLanes<P>];
  if (pixels < kLanes<P>) {
    std::fill_n(some, C * kLanes<P>, T{});
    std::memcpy(some, from, pixels * C * sizeof(T));
    from = some;
  }
  Vector<P> numbers[C];
  for (int64_t c = 0; c < C; ++c) numbers[c] = load_wide(from + c * kLanes<P>);
  [&]<int64_t... First>(std::integer_sequence<int64_t, First...>) {
    ((channel[First] = every<C, First, P>(numbers, numbers[0])), ...);
  }(std::make_integer_sequence<int64_t, C>());
}

// Past the caches as `store_line` does it.
template <int64_t C, class T, class P = Wide<T>>
inline void store_interleaved(T* to, int64_t pixels, const Vector<P> (&channel)[C], bool past_caches) {
  T some[C * kLanes<P>];
  T* const all = pixels < kLanes<P> ? some : to;
  [&]<int64_t... Result>(std::integer_sequence<int64_t, Result...>) {
    (store_line<T>(all + Result * kLanes<P>, turns<C, Result, P>(channel, channel[0]), past_caches && all == to), ...);
  }(std::make_integer_sequence<int64_t, C>());
  if (pixels < kLanes<P>) std::memcpy(to, some, pixels * C * sizeof(T));
}

// Whether the pixels of an image row are groups of three numbers.
template <class T>
bool is_rgb(const Image<T>& image, int64_t channels) {
  return channels == 3 && image.channel == 1 && image.column == 3;
}

// `count` pixels of one row, from `from` on, to groups of K numbers; whole vectors of groups of 4 are written, and of
// others only what there are channels for.
template <int64_t K, class T, class P>
void pack(const T* from, const Image<const T>& image, int64_t channels, int64_t count, P* to) {
  constexpr int64_t kStep = kLanes<P>;
  if (K == 4 && (image.column == 1 || is_rgb(image, channels))) {
    for (int64_t i = 0; i < count; i += kStep) {
      Vector<P> channel[4] = {}, triple[3];
      if (image.column == 1) {
        for (int64_t c = 0; c < channels; ++c) channel[c] = load_wide(from + c * image.channel + i, count - i);
      } else {
        load_interleaved<3>(from + 3 * i, count - i, triple);
        std::copy_n(triple, 3, channel);
      }
      store_interleaved<4>(to + 4 * i, kStep, channel, false);
    }
  } else if (K % kStep == 0 && image.channel == 1 && channels == K) {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t c = 0; c < K; c += kStep) store(to + i * K + c, load_wide(from + i * image.column + c));
  } else {
    copy_pixels<T, P>({from, image.channel, image.column}, {to, 1, K}, channels, count);
  }
}

// The way back.
template <int64_t K, class T, class P>
void unpack(const P* from, int64_t channels, int64_t count, T* to, const Image<T>& image) {
  constexpr int64_t kStep = kLanes<P>;
  if (K == 4 && (image.column == 1 || is_rgb(image, channels))) {
    for (int64_t i = 0; i < count; i += kStep) {
      Vector<P> channel[4], triple[3];
      load_interleaved<4>(from + 4 * i, count - i, channel);
      if (image.column == 1) {
        for (int64_t c = 0; c < channels; ++c) {
          T* const plane = to + c * image.channel + i;
          store_line<T>(plane, channel[c], is_far<T>(image.channel), count - i);
        }
      } else {
        std::copy_n(channel, 3, triple);
        store_interleaved<3>(to + 3 * i, count - i, triple, is_far<T>(image.image));
      }
    }
  } else if (K % kStep == 0 && image.channel == 1 && channels == K) {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t c = 0; c < K; c += kStep) store_narrow<T>(to + i * image.column + c, load_wide(from + i * K + c));
  } else {
    copy_pixels<P, T>({from, 1, K}, {to, image.channel, image.column}, channels, count);
  }
}

}  // namespace
}  // namespace tryon_kernels
