#include "cpu/ops.h"
#include "cpu/sampling.h"
#include "cpu/volume.h"
#include "cpu/warped_rows.h"

// The warped features are never in memory as a whole, and neither is their gradient: threads make rows of the one as
// the correlation's kernels come to them, and take rows of the other as the kernels leave them.
namespace tryon_kernels::cpu {
namespace {

struct Problem {
  Sampling sampling;
  Window window;
  int64_t images;
};

Problem check(const Tensor& first, const Tensor& second, const Tensor& grid, int64_t radius,
              std::optional<double> negative_slope, const std::string& padding_mode, bool align_corners) {
  const Sampling sampling = check_sampling("first", first, grid, kGrid, padding_mode, coordinates_of(align_corners));
  check_shape("second", second, {first.size(0), first.size(1), sampling.out_height, sampling.out_width});
  check_dtype("second", second, first.scalar_type());
  check_volume_options(radius, negative_slope);
  // The second map's gradient takes the volume's bands too: taller ones need memory, which is what this op is to save.
  return {sampling, window_for(second, sampling.out_height, sampling.out_width, radius, false), first.size(0)};
}

// Calls body(warped, workspace, begin, end) on ranges of the volume's pieces, with the warped features' rows for each.
template <class T, class Body>
void for_each_range_of_warped_pieces(const Problem& problem, const Tensor& first, const Tensor& grid,
                                     const Body& body) {
  const auto from = image_of<const T>(first);
  const auto at = positions_of<const Wide<T>>(grid, kGrid);
  const int64_t bytes = Rows<T>::bytes(problem.window.channels, problem.window.width);
  for_each_range_of_pieces<T>(problem.window, problem.images, bytes,
                              [&](void* workspace, void* rows, int64_t begin, int64_t end) {
                                WarpedRows<T> warped(problem.sampling, from, at, rows);
                                body(warped.source(), workspace, begin, end);
                              });
}

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
    const auto& [sampling, window, images] = problem;
    const bool need_sums = grad_first && !has_room_for_sums();
    const Slices slices = cut(need_sums);
    const int64_t parts_bytes = slices.count * pairs() * static_cast<int64_t>(2 * sizeof(P));
    const Tensor memory = torch::stable::empty({grad_grid ? parts_bytes : 0}, ScalarType::Byte);
    P* const parts = static_cast<P*>(memory.mutable_data_ptr());

    const Room room = room_for(slices, need_sums);
    for_each_range_with_workspace(
        images * slices.count, images * image_cost(window), room.bytes(), spare,
        [&](char* workspace, int64_t begin, int64_t end) {
          T* const rows = reinterpret_cast<T*>(workspace + room.workspace);
          P* const sums = need_sums ? reinterpret_cast<P*>(workspace + room.workspace + room.rows) : nullptr;
          for (int64_t task = begin; task < end; ++task)
            run(task / slices.count, slices, task % slices.count, workspace, rows, sums, parts);
        });
    if (grad_grid) add_parts(parts, slices.count);
  }

 private:
  int64_t pairs() const { return problem.images * problem.window.height * problem.window.width; }

  // Bytes that a task needs for the kernel, for rows and for sums.
  struct Room {
    int64_t workspace, rows, sums;
    int64_t bytes() const { return workspace + rows + sums; }
  };

  Room room_for(const Slices& slices, bool need_sums) const {
    const int64_t pixels = problem.sampling.height * problem.sampling.width;
    Room room{0, aligned(Rows<T>::bytes(slices.width, problem.window.width)),
              need_sums ? pixels * slices.width * static_cast<int64_t>(sizeof(P)) : 0};
    for (int64_t slice = 0; slice < slices.count; ++slice)
      room.workspace = std::max(room.workspace, correlation_kernels<T>().plan(window_of(slices, slice)).workspace);
    return room;
  }

  // Few slices, for each reads the volume's gradient anew, but enough for some threads to share one image. Where sums
  // need memory, the spare one is to hold those of some threads; otherwise they are to be small.
  Slices cut(bool need_sums) const {
    constexpr int64_t kSmallest = 64;
    const int64_t channels = problem.window.channels, images = std::max<int64_t>(1, problem.images);
    const int64_t most = std::max<int64_t>(1, (channels + kSmallest - 1) / kSmallest);
    int64_t count = std::min(most, (kSomeThreads + images - 1) / images);
    while (need_sums && count < most && spare.holds(room_for({channels, count}, true).bytes()) < kSomeThreads)
      count = std::min(most, 2 * count);
    return {channels, count};
  }

  // A task works through its bands alone, so they need not be many.
  Window window_of(const Slices& slices, int64_t slice) const {
    Window window = problem.window;
    window.channels = slices.size(slice);
    window.band_rows = gradient_rows(problem.window, first.channel != 1);
    return window;
  }

  // Whether the gradient's own memory can hold the sums as the kernels want them.
  bool has_room_for_sums() const {
    return std::is_same_v<T, P> && first.channel == 1 && grad_first->channel == 1 &&
           grad_first->row == problem.sampling.width * grad_first->column &&
           problem.window.channels == pitch_of_sums(problem.window.channels);
  }

  // One task; `sums` is null where the gradient's own memory holds them.
  void run(int64_t n, const Slices& slices, int64_t slice, void* workspace, T* row_memory, P* sums, P* parts) const {
    const auto& kernels = correlation_kernels<T>();
    const Window window = window_of(slices, slice);
    const int64_t channel = slices.first(slice), pieces = kernels.plan(window).pieces;
    Sampling sampling = problem.sampling;
    sampling.channels = window.channels;
    const Image<const T> from = moved(first, n, channel);
    const Rows<T> rows{row_memory, window.channels, window.width, first.channel == 1};
    WarpedGradients<T> warped{sampling, from, moved(grid, n, 0, 0), rows, std::nullopt, std::nullopt};
    if (grad_first) warped.sums = cleared(sampling, sums_of(moved(*grad_first, n, channel), sums, slices.width));
    if (grad_grid) {
      P* const part = parts + 2 * slice * pairs();
      warped.grad_positions = moved<P>({part, 2 * window.height * window.width, 1, 2 * window.width, 2}, n, 0, 0);
    }
    kernels.backward(window, Operand::kFirst, grad_output, activation, {moved(second, 0, channel)}, warped.sink(),
                     workspace, n * pieces, (n + 1) * pieces);
    if (grad_first && sums != nullptr)
      scatter_kernels<T>().store(sampling, *warped.sums, moved(*grad_first, n, channel));
  }

  static Sums<P> sums_of(const Image<T>& gradient, P* sums, int64_t width) {
    if constexpr (std::is_same_v<T, P>) {
      if (sums == nullptr) return {gradient.data, gradient.column};
    }
    return {sums, width};
  }

  static Sums<P> cleared(const Sampling& sampling, const Sums<P>& sums) {
    for (int64_t pixel = 0; pixel < sampling.height * sampling.width; ++pixel)
      std::fill_n(sums.data + pixel * sums.pitch, pitch_of_sums(sampling.channels), P{0});
    return sums;
  }

  // The grid's gradient from the slices' parts of it, added in their order.
  void add_parts(const P* parts, int64_t count) const {
    const int64_t height = problem.window.height, width = problem.window.width;
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

}  // namespace

Tensor warp_correlation(const Tensor& first, const Tensor& second, const Tensor& grid, int64_t radius,
                        std::optional<double> negative_slope, const std::string& padding_mode, bool align_corners) {
  const Problem problem = check(first, second, grid, radius, negative_slope, padding_mode, align_corners);
  Tensor output = new_output(first, volume_shape(problem.images, problem.window), first.scalar_type());
  if (second.numel() == 0) return torch::stable::zero_(output);
  with_number_type("first", first, [&]<class T>(T) {
    const auto around = image_of<const T>(second);
    const auto activation = activation_of<T>(negative_slope, std::nullopt);
    const auto to = image_of<T>(output);
    for_each_range_of_warped_pieces<T>(
        problem, first, grid, [&](const RowSource<T>& warped, void* workspace, int64_t begin, int64_t end) {
          correlation_kernels<T>().forward(problem.window, warped, around, activation, to, workspace, begin, end);
        });
  });
  return output;
}

std::tuple<Tensor, Tensor, Tensor> warp_correlation_backward(const Tensor& grad_output, const Tensor& first,
                                                             const Tensor& second, const Tensor& grid,
                                                             const std::optional<Tensor>& output, int64_t radius,
                                                             std::optional<double> negative_slope,
                                                             const std::string& padding_mode, bool align_corners,
                                                             bool first_needed, bool second_needed, bool grid_needed) {
  const Problem problem = check(first, second, grid, radius, negative_slope, padding_mode, align_corners);
  check_volume_gradient(grad_output, output, negative_slope, volume_shape(problem.images, problem.window),
                        first.scalar_type());
  Tensor grad_first = new_gradient(first, first_needed), grad_grid = new_gradient(grid, grid_needed);
  const Tensor grad_second = new_gradient(second, second_needed);
  if (second.numel() == 0) return {torch::stable::zero_(grad_first), grad_second, torch::stable::zero_(grad_grid)};
  with_number_type("first", first, [&]<class T>(T) {
    using P = Wide<T>;
    const auto grad = image_of<const T>(grad_output);
    const auto activation = activation_of<T>(negative_slope, output);
    // The second gradient's memory serves the others until that gradient is computed.
    const Spare spare{grad_second.mutable_data_ptr(), grad_second.numel() * static_cast<int64_t>(sizeof(T))};
    WarpedBackward<T> warped{problem,
                             grad,
                             activation,
                             image_of<const T>(first),
                             image_of<const T>(second),
                             positions_of<const P>(grid, kGrid),
                             std::nullopt,
                             std::nullopt,
                             spare};
    if (first_needed) warped.grad_first = image_of<T>(grad_first);
    if (grid_needed) warped.grad_grid = positions_of<P>(grad_grid, kGrid);
    if (first_needed || grid_needed) warped.run();
    if (second_needed) {
      const auto to = image_of<T>(grad_second);
      for_each_range_of_warped_pieces<T>(
          problem, first, grid, [&](const RowSource<T>& warped, void* workspace, int64_t begin, int64_t end) {
            correlation_kernels<T>().backward(problem.window, Operand::kSecond, grad, activation, warped, {to},
                                              workspace, begin, end);
          });
    }
  });
  return {grad_first, grad_second, grad_grid};
}

}  // namespace tryon_kernels::cpu
