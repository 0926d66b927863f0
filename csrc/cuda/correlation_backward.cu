#include "cuda/correlation.h"
#include "cuda/device/correlation_backward.cuh"
#include "cuda/ops.h"

namespace tryon_kernels::cuda {
namespace {

// A block's chunks of channels share the weights that it reads; where there are few tiles, several blocks share them
// out.
template <class T, bool kSampled>
void launch_gather(const Tensor& gradient, Gathering<T> work) {
  constexpr int64_t kEnough = 4;  // blocks on a multiprocessor
  const int64_t tiles_down = parts(work.height, kGatherTile), tiles_across = parts(work.width, kGatherTile);
  const int64_t tiles = gradient.size(0) * tiles_down * tiles_across;
  const int64_t chunks = parts(gradient.size(1), kGatherChunk<T>);
  const int64_t chunks_of_block = parts(chunks, parts(kEnough * multiprocessors(), tiles));
  const int64_t blocks_of_tile = parts(chunks, chunks_of_block);
  work.tiles_down = static_cast<unsigned>(tiles_down);
  work.tiles_across = static_cast<unsigned>(tiles_across);
  work.blocks_of_tile = static_cast<unsigned>(blocks_of_tile);
  work.chunks_of_block = static_cast<int>(chunks_of_block);
  launch("correlation_backward", gradient, gather_tile<T, kSampled>,
         dim3(static_cast<unsigned>(tiles * blocks_of_tile)), dim3(kGatherThreads),
         kGatheredBytes<T> + kOtherPlaceBytes<T, kSampled>, work);
}

}  // namespace

void gather(const Tensor& grad_volume, const std::optional<Tensor>& volume, const Tensor& other,
            const std::optional<Tensor>& positions, Tensor gradient, double scale, std::optional<double> negative_slope,
            bool mirrored, int64_t coordinates, bool border) {
  with_number_type("other", other, [&](auto number) {
    using T = decltype(number);
    Gathering<T> work = {};
    work.grad_volume = image_of<const T>(grad_volume);
    if (negative_slope) work.volume = image_of<const T>(*volume);
    work.other = map_of<T>(other);
    work.positions = positions_or_none<Wide<T>>(positions);
    work.placing = {static_cast<Coordinates>(coordinates), border};
    work.gradient = image_of<T>(gradient);
    work.height = static_cast<int>(gradient.size(2));
    work.width = static_cast<int>(gradient.size(3));
    work.side = window_side(grad_volume);
    work.mirrored = mirrored;
    work.scale = static_cast<Wide<T>>(scale);
    work.negative_slope = static_cast<Wide<T>>(negative_slope.value_or(1));
    if (positions) {
      launch_gather<T, true>(gradient, work);
    } else {
      launch_gather<T, false>(gradient, work);
    }
  });
}

}  // namespace tryon_kernels::cuda
