#include "cuda/correlation.h"
#include "cuda/device/correlation.cuh"
#include "cuda/ops.h"

namespace tryon_kernels::cuda {
namespace {

template <class T, int kRows, bool kSampled>
void launch_tiles(const Tensor& volume, Multiplication<T> work, int64_t tiles_across) {
  const int64_t tiles_down = parts(volume.size(2), FirstTile<kRows>::kRows);
  work.tiles_across = static_cast<unsigned>(tiles_across);
  work.tiles_down = static_cast<unsigned>(tiles_down);
  const int64_t blocks = volume.size(0) * tiles_down * tiles_across * work.pieces * work.pieces;
  launch("correlation", volume, multiply_tile<T, kRows, kSampled>, dim3(static_cast<unsigned>(blocks)),
         dim3(kMultiplyThreads), kMultipliedBytes<T, kRows> + kPlaceBytes<T, kRows, kSampled>, work);
}

// Two rows a thread where there are blocks enough to keep every multiprocessor busy. Of float64 its registers hold one.
template <class T, bool kSampled>
void launch_multiply(const Tensor& volume, const Multiplication<T>& work) {
  constexpr int64_t kEnough = 2;  // blocks on a multiprocessor
  const int64_t tiles_across = parts(volume.size(3), kMultipliedColumns);
  if constexpr (!std::is_same_v<T, double>) {
    const int64_t tiles = volume.size(0) * parts(volume.size(2), FirstTile<2>::kRows) * tiles_across;
    if (tiles * work.pieces * work.pieces >= kEnough * multiprocessors())
      return launch_tiles<T, 2, kSampled>(volume, work, tiles_across);
  }
  launch_tiles<T, 1, kSampled>(volume, work, tiles_across);
}

}  // namespace

void multiply(const Tensor& first, const Tensor& second, const std::optional<Tensor>& positions, Tensor volume,
              double scale, std::optional<double> negative_slope, int64_t coordinates, bool border) {
  with_number_type("first", first, [&](auto number) {
    using T = decltype(number);
    Multiplication<T> work = {};
    work.first = map_of<T>(first);
    work.second = map_of<T>(second);
    work.positions = positions_or_none<Wide<T>>(positions);
    work.placing = {static_cast<Coordinates>(coordinates), border};
    work.volume = image_of<T>(volume);
    work.side = window_side(volume);
    work.pieces = static_cast<int>(parts(work.side, kPiece));
    work.scale = static_cast<Wide<T>>(scale);
    work.negative_slope = static_cast<Wide<T>>(negative_slope.value_or(1));
    if (positions) {
      launch_multiply<T, true>(volume, work);
    } else {
      launch_multiply<T, false>(volume, work);
    }
  });
}

}  // namespace tryon_kernels::cuda
