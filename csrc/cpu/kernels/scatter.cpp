#include "cpu/kernels/scatter.h"

#include "cpu/kernels/pixels.h"
#include "cpu/kernels/sample_positions.h"
#include "cpu/kernels/scatter_bands.h"

namespace tryon_kernels {
namespace {

constexpr int32_t kAllTaps = 15;
constexpr int64_t kBlockChannels = 64;  // are copied together, where they have to be

// Adds the gradients of `count` samples, each in whole vectors of channels, to their taps.
template <class P>
void add_samples(const Targets<P>& targets, const P* gradients, int64_t step, int64_t count, int64_t channels,
                 int64_t width, const GradientSums<P>& sums) {
  const auto add = [&](P* sum, P weight, const P* gradient) {
    for (int64_t c = 0; c < channels; c += kLanes<P>)
      store(sum + c, load_wide(sum + c) + weight * load_wide(gradient + c));
  };
  const int64_t steps[4] = {0, sums.pitch, width * sums.pitch, (width + 1) * sums.pitch};
  for (int64_t i = 0; i < count; ++i) {
    P* const target = sums.data + targets.offset[i] * sums.pitch;
    const int32_t within = targets.all[i / kLanes<P>] ? kAllTaps : targets.within[i];
    for (int tap = 0; tap < 4; ++tap)
      if (within >> tap & 1) add(target + steps[tap], targets.weight[tap][i], gradients + i * step);
  }
}

template <class T>
void add_row(const Sampling& sampling, Image<const T> gradients, Positions<const Wide<T>> positions,
             GradientSums<Wide<T>> sums) {
  using P = Wide<T>;
  Tile<P> segment;
  Targets<P> targets;
  P packed[kSegment * kBlockChannels] = {};
  const Band image{0, 0, 0, sampling.height};
  for (int64_t start = 0; start < sampling.out_width; start += kSegment) {
    const int64_t count = std::min(kSegment, sampling.out_width - start);
    segment.image = 0;
    segment.rows = 1;
    segment.pitch = count;
    locate(sampling, positions, 0, start, {1, count, count}, 0, segment);
    aim(sampling, segment.x, segment.y, count, image, targets);
    const Pixels<const T> from = pixels_of(gradients, 0, 0, 0, start);
    if constexpr (std::is_same_v<T, P>) {
      if (from.channel == 1 && sampling.channels % kLanes<P> == 0) {
        add_samples(targets, from.data, from.column, count, sampling.channels, sampling.width, sums);
        continue;
      }
    }
    for (int64_t c = 0; c < sampling.channels; c += kBlockChannels) {
      const int64_t channels = std::min(kBlockChannels, sampling.channels - c);
      const Pixels<const T> block{from.data + c * from.channel, from.channel, from.column};
      copy_pixels(block, Pixels<P>{packed, 1, kBlockChannels}, channels, count);
      add_samples(targets, packed, kBlockChannels, count, channels, sampling.width,
                  GradientSums<P>{sums.data + c, sums.pitch});
    }
  }
}

template <class T>
void store_sums(const Sampling& sampling, GradientSums<Wide<T>> sums, Image<T> image) {
  for (int64_t y = 0; y < sampling.height; ++y)
    copy_pixels(Pixels<const Wide<T>>{sums.data + y * sampling.width * sums.pitch, 1, sums.pitch},
                pixels_of(image, 0, 0, y, 0), sampling.channels, sampling.width);
}

template <class T>
constexpr ScatterKernels<T> kKernels{add_row<T>, store_sums<T>};

}  // namespace

namespace TRYON_KERNELS_VARIANT {
extern const Table<ScatterKernels> kScatter;
constinit const Table<ScatterKernels> kScatter{kKernels<float>, kKernels<double>, kKernels<Half>, kKernels<BFloat16>};
}  // namespace TRYON_KERNELS_VARIANT
}  // namespace tryon_kernels
