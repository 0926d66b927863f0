#pragma once

#include <algorithm>
#include <optional>

#include "cpu/kernels/scatter.h"
#include "cpu/volume.h"
#include "cpu/warped_rows.h"

// Gradients of the features that were warped and of the grid that they were warped by.
namespace tryon_kernels::cpu {

// Of the fused op.
struct Problem {
  Sampling sampling;
  CorrelationSizes sizes;
  int64_t images;
};

// Slices of an image's channels, whole vectors but for the last one.
struct Slices {
  int64_t channels, width, count;

  Slices(int64_t all, int64_t wanted)
      : channels(all), width(pitch_of_sums((all + wanted - 1) / wanted)), count((all + width - 1) / width) {}

  int64_t first(int64_t slice) const { return slice * width; }
  int64_t size(int64_t slice) const { return std::min(width, channels - first(slice)); }
};

// Gradients of the first map and of the grid, as far as they are wanted. A task is a slice of one image's channels,
// whose gradient it alone sums up, so the sums are the same for any number of threads.
template <class T>
struct WarpedBackward {
  using P = Wide<T>;
  Problem problem;
  Image<const T> grad_output;
  Activation<T> activation;
  Image<const T> first, second;
  Positions<const P> grid;
  std::optional<Image<T>> grad_first;
  std::optional<Positions<P>> grad_grid;
  Spare spare;

  void run() const {
    const auto& [sampling, sizes, images] = problem;
    const bool need_sums = grad_first && !has_room_for_sums();
    const Slices slices = cut(need_sums);
    const int64_t parts_bytes = slices.count * pairs() * static_cast<int64_t>(2 * sizeof(P));
    const Tensor memory = torch::stable::empty({grad_grid ? parts_bytes : 0}, ScalarType::Byte);
    P* const parts = static_cast<P*>(memory.mutable_data_ptr());

    const Room room = room_for(slices, need_sums);
    for_each_range_with_workspace(
        images * slices.count, images * image_cost(sizes), room.bytes(), spare,
        [&](char* workspace, int64_t begin, int64_t end) {
          T* const rows = reinterpret_cast<T*>(workspace + room.workspace);
          P* const sums = need_sums ? reinterpret_cast<P*>(workspace + room.workspace + room.rows) : nullptr;
          for (int64_t task = begin; task < end; ++task)
            run(task / slices.count, slices, task % slices.count, workspace, rows, sums, parts);
        });
    if (grad_grid) add_parts(parts, slices.count);
  }

 private:
  int64_t pairs() const { return problem.images * problem.sizes.height * problem.sizes.width; }

  // Bytes that a task needs for the kernel, for rows and for sums.
  struct Room {
    int64_t workspace, rows, sums;
    int64_t bytes() const { return workspace + rows + sums; }
  };

  Room room_for(const Slices& slices, bool need_sums) const {
    const int64_t pixels = problem.sampling.height * problem.sampling.width;
    Room room{0, aligned(Rows<T>::bytes(slices.width, problem.sizes.width)),
              need_sums ? pixels * slices.width * static_cast<int64_t>(sizeof(P)) : 0};
    for (int64_t slice = 0; slice < slices.count; ++slice)
      room.workspace = std::max(room.workspace, correlation_kernels<T>().plan(sizes_of(slices, slice)).workspace);
    return room;
  }

  // Few slices, for each reads the volume's gradient anew, but enough for some threads to share one image. Where sums
  // need memory, the spare one is to hold those of some threads; otherwise they are to be small.
  Slices cut(bool need_sums) const {
    constexpr int64_t kSmallest = 64;
    const int64_t channels = problem.sizes.channels, images = std::max<int64_t>(1, problem.images);
    const int64_t most = std::max<int64_t>(1, (channels + kSmallest - 1) / kSmallest);
    int64_t count = std::min(most, (kSomeThreads + images - 1) / images);
    while (need_sums && count < most && spare.holds(room_for({channels, count}, true).bytes()) < kSomeThreads)
      count = std::min(most, 2 * count);
    return {channels, count};
  }

  // A task works through its bands alone, so they need not be many.
  CorrelationSizes sizes_of(const Slices& slices, int64_t slice) const {
    CorrelationSizes sizes = problem.sizes;
    sizes.channels = slices.size(slice);
    sizes.band_rows = band_rows<T>(problem.sizes, first.channel != 1, true);
    return sizes;
  }

  // Whether the gradient's own memory can hold the sums as the kernels want them.
  bool has_room_for_sums() const {
    return std::is_same_v<T, P> && first.channel == 1 && grad_first->channel == 1 &&
           grad_first->row == problem.sampling.width * grad_first->column &&
           problem.sizes.channels == pitch_of_sums(problem.sizes.channels);
  }

  // One task; `sums` is null where the gradient's own memory holds them.
  void run(int64_t n, const Slices& slices, int64_t slice, void* workspace, T* row_memory, P* sums, P* parts) const {
    const auto& kernels = correlation_kernels<T>();
    const CorrelationSizes sizes = sizes_of(slices, slice);
    const int64_t channel = slices.first(slice), strips = kernels.plan(sizes).strips;
    Sampling sampling = problem.sampling;
    sampling.channels = sizes.channels;
    const Image<const T> from = moved(first, n, channel);
    const Rows<T> rows{row_memory, sizes.channels, sizes.width, first.channel == 1};
    WarpedGradients<T> warped{sampling, from, moved(grid, n, 0, 0), rows, std::nullopt, std::nullopt};
    if (grad_first) warped.sums = cleared(sampling, sums_of(moved(*grad_first, n, channel), sums, slices.width));
    if (grad_grid) {
      P* const part = parts + 2 * slice * pairs();
      warped.grad_positions = moved<P>({part, 2 * sizes.height * sizes.width, 1, 2 * sizes.width, 2}, n, 0, 0);
    }
    kernels.backward(sizes, Operand::kFirst, grad_output, activation, {moved(second, 0, channel)}, warped.sink(),
                     workspace, n * strips, (n + 1) * strips);
    if (grad_first && sums != nullptr)
      scatter_kernels<T>().store(sampling, *warped.sums, moved(*grad_first, n, channel));
  }

  static GradientSums<P> sums_of(const Image<T>& gradient, P* sums, int64_t width) {
    if constexpr (std::is_same_v<T, P>) {
      if (sums == nullptr) return {gradient.data, gradient.column};
    }
    return {sums, width};
  }

  static GradientSums<P> cleared(const Sampling& sampling, const GradientSums<P>& sums) {
    for (int64_t pixel = 0; pixel < sampling.height * sampling.width; ++pixel)
      std::fill_n(sums.data + pixel * sums.pitch, pitch_of_sums(sampling.channels), P{0});
    return sums;
  }

  // The grid's gradient from the slices' parts of it, added in their order.
  void add_parts(const P* parts, int64_t count) const {
    const int64_t height = problem.sizes.height, width = problem.sizes.width;
    for_each_range(problem.images * height, 2 * width * (count + 1), [&](int64_t begin, int64_t end) {
      for (int64_t index = begin; index < end; ++index) {
        const Positions<P> row = moved(*grad_grid, index / height, index % height, 0);
        for (int64_t i = 0; i < 2 * width; ++i) {
          P sum = 0;
          for (int64_t slice = 0; slice < count; ++slice) sum += parts[2 * (slice * pairs() + index * width) + i];
          row.data[i / 2 * row.column + i % 2 * row.axis] = sum;
        }
      }
    });
  }
};

}  // namespace tryon_kernels::cpu
