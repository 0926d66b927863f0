// Runs a grid's blocks one after the other, a block's threads as fibers that meet where CUDA's threads wait.
#include <link.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda_pipeline_primitives.h"
#include "cuda_runtime.h"
#include "fiber.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
extern const int warpSize = 32;

namespace host_run {
namespace {

constexpr int kPoison = 0xff;  // not a number in every floating-point format, -1 in every signed one

[[noreturn]] void stop(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("host_run: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  std::abort();
}

// In which order blocks run, and threads between two meetings.
class Order {
 public:
  Order() {
    const char* variable = std::getenv("HOST_RUN_ORDER");
    const std::string_view name = variable ? variable : "forward";
    constexpr std::string_view kShuffled = "shuffled:";
    char* end = nullptr;
    if (name.starts_with(kShuffled) && name.size() > kShuffled.size()) {
      shuffled_ = true;
      random_.seed(std::strtoul(variable + kShuffled.size(), &end, 10));
    }
    backward_ = name == "backward";
    if (!backward_ && name != "forward" && (!shuffled_ || *end != '\0'))
      stop("HOST_RUN_ORDER: got \"%s\", expected forward, backward or shuffled:SEED", variable);
  }

  const std::vector<std::size_t>& of(std::size_t count) {
    if (indices_.size() != count) {
      indices_.resize(count);
      std::iota(indices_.begin(), indices_.end(), 0);
      if (backward_) std::reverse(indices_.begin(), indices_.end());
    }
    if (shuffled_) std::shuffle(indices_.begin(), indices_.end(), random_);
    return indices_;
  }

 private:
  bool backward_ = false, shuffled_ = false;
  std::mt19937_64 random_;
  std::vector<std::size_t> indices_;
};

uint3 position(std::size_t index, const dim3& size) {
  return {static_cast<unsigned>(index % size.x), static_cast<unsigned>(index / size.x % size.y),
          static_cast<unsigned>(index / size.x / size.y)};
}

// All that is static shared memory: of a library for the host, nothing else may be a thread's own.
struct StaticSharedMemory {
  void* begin = nullptr;
  std::size_t bytes = 0;

  StaticSharedMemory() {
    dl_iterate_phdr(
        [](dl_phdr_info* library, std::size_t, void* result) {
          static thread_local volatile char inside;
          const char* address = const_cast<const char*>(&inside);
          auto* begin = static_cast<const char*>(library->dlpi_tls_data);
          for (int i = 0; begin && i < library->dlpi_phnum; ++i) {
            const auto& part = library->dlpi_phdr[i];
            if (part.p_type != PT_TLS || address < begin || address >= begin + part.p_memsz) continue;
            auto* memory = static_cast<StaticSharedMemory*>(result);
            memory->begin = library->dlpi_tls_data;
            memory->bytes = part.p_memsz;
          }
          return 0;
        },
        this);
  }
};

struct Copy {
  void* to;
  std::array<unsigned char, 16> bytes;
  std::size_t size, batch;
};

enum class State { kReady, kAtBlock, kAtLanes, kEnded };

struct Thread {
  explicit Thread(std::function<void()> body) : fiber(std::move(body)) {}

  Fiber fiber;
  std::size_t index = 0;
  State state = State::kEnded;
  Place place;
  Exchange exchange = {};
  std::vector<Copy> copies;
  std::size_t batches = 0;
};

class Block {
 public:
  void run(const dim3& size, std::size_t shared_bytes, const StaticSharedMemory& static_memory, Order& order,
           const std::function<void()>& body) {
    body_ = &body;
    count_ = std::size_t{size.x} * size.y * size.z;
    dynamic_memory_ = std::make_unique<unsigned char[]>(shared_bytes);
    std::memset(dynamic_memory_.get(), kPoison, shared_bytes);
    if (static_memory.begin) std::memset(static_memory.begin, kPoison, static_memory.bytes);
    start();
    while (ended_ < count_)
      if (!run_ready(order)) open_barrier();
    dynamic_memory_.reset();
  }

  Thread& running() { return *running_; }
  void* dynamic_memory() { return dynamic_memory_.get(); }

  void wait(State state, const Place& place) {
    running_->state = state;
    running_->place = place;
    running_->fiber.leave();
  }

  // For the running thread: once all lanes that its mask names wait for each other, they take what they came for.
  void exchange_if_complete() {
    const Exchange& own = running_->exchange;
    const std::size_t warp = running_->index / 32 * 32;
    for (int lane = 0; lane < 32; ++lane)
      if (own.mask >> lane & 1u && !meets(own, warp + lane)) return;
    for (int lane = 0; lane < 32; ++lane)
      if (own.mask >> lane & 1u) take(*threads_[warp + lane], warp);
  }

  [[noreturn]] void fail(const Thread& thread, const char* function, const Place& place, const std::string& reason) {
    stop("block (%u, %u, %u), thread %s, %s:%u: %s: %s", blockIdx.x, blockIdx.y, blockIdx.z, name(thread.index).c_str(),
         place.file_name(), static_cast<unsigned>(place.line()), function, reason.c_str());
  }

 private:
  void start() {
    while (threads_.size() < count_)
      threads_.push_back(std::make_unique<Thread>([this] { run_thread_of_each_block(); }));
    for (std::size_t i = 0; i < count_; ++i) {
      Thread& thread = *threads_[i];
      thread.index = i;
      thread.state = State::kReady;
      thread.copies.clear();
      thread.batches = 0;
    }
    ended_ = 0;
  }

  void run_thread_of_each_block() {
    for (;;) {
      (*body_)();
      ++ended_;
      running_->state = State::kEnded;
      running_->fiber.leave();
    }
  }

  bool run_ready(Order& order) {
    bool any = false;
    for (const std::size_t i : order.of(count_)) {
      if (threads_[i]->state != State::kReady) continue;
      any = true;
      running_ = threads_[i].get();
      threadIdx = position(i, blockDim);
      running_->fiber.enter();
    }
    return any;
  }

  // When no thread can go on: all that have not ended are at the barrier, or they will never be.
  void open_barrier() {
    const Thread* first = nullptr;
    for (std::size_t i = 0; i < count_; ++i) {
      const Thread& thread = *threads_[i];
      if (thread.state == State::kAtLanes) fail_for_lanes(thread);
      if (thread.state == State::kEnded) continue;
      if (!first) first = &thread;
      if (!same(thread.place, first->place))
        fail(*first, "__syncthreads", first->place, "meets " + whereabouts(thread.index));
    }
    for (std::size_t i = 0; i < count_; ++i)
      if (threads_[i]->state == State::kAtBlock) threads_[i]->state = State::kReady;
  }

  bool meets(const Exchange& own, std::size_t index) const {
    if (index >= count_ || threads_[index]->state != State::kAtLanes) return false;
    const Exchange& other = threads_[index]->exchange;
    return other.mask == own.mask && other.bytes == own.bytes && std::string_view(other.function) == own.function;
  }

  void take(Thread& thread, std::size_t warp) {
    const Exchange& exchange = thread.exchange;
    thread.state = State::kReady;
    if (exchange.bytes == 0) return;
    if (exchange.mask >> exchange.source & 1u)
      std::memcpy(exchange.taken, threads_[warp + exchange.source]->exchange.given, exchange.bytes);
    else
      std::memset(exchange.taken, kPoison, exchange.bytes);
  }

  [[noreturn]] void fail_for_lanes(const Thread& thread) {
    const std::size_t warp = thread.index / 32 * 32;
    std::size_t missing = warp;
    while (!(thread.exchange.mask >> (missing - warp) & 1u) || meets(thread.exchange, missing)) ++missing;
    fail(thread, thread.exchange.function, thread.place, "waits for " + whereabouts(missing));
  }

  static bool same(const Place& a, const Place& b) {
    return a.line() == b.line() && a.column() == b.column() && std::string_view(a.file_name()) == b.file_name();
  }

  static std::string name(std::size_t index) {
    const uint3 at = position(index, blockDim);
    char text[64];
    std::snprintf(text, sizeof(text), "(%u, %u, %u)", at.x, at.y, at.z);
    return text;
  }

  std::string whereabouts(std::size_t index) const {
    if (index >= count_) return "lane " + std::to_string(index % 32) + ", which the block does not have";
    const Thread& thread = *threads_[index];
    const std::string subject = "thread " + name(index) + ", which ";
    if (thread.state == State::kEnded) return subject + "has ended";
    const std::string function = thread.state == State::kAtLanes ? thread.exchange.function : "__syncthreads";
    return subject + "is at " + function + " in " + thread.place.file_name() + ":" +
           std::to_string(thread.place.line());
  }

  const std::function<void()>* body_ = nullptr;
  std::size_t count_ = 0, ended_ = 0;
  std::unique_ptr<unsigned char[]> dynamic_memory_;
  std::vector<std::unique_ptr<Thread>> threads_;  // of all blocks: a fiber's stack is used again
  Thread* running_ = nullptr;
};

Block block;
std::mutex one_launch_at_a_time;
std::map<const void*, std::size_t> allowed_shared_bytes;
cudaError_t last_error = cudaSuccess;

constexpr std::size_t kSharedBytes = 48 * 1024, kSharedBytesAllowed = 99 * 1024;

// Of the device: host code shares work out to so many. Fewer make loops of blocks turn more often.
int multiprocessors() {
  const char* variable = std::getenv("HOST_RUN_MULTIPROCESSORS");
  char* end = nullptr;
  const long count = variable ? std::strtol(variable, &end, 10) : 4;
  if (count < 1 || count > 1000 || (variable && *end != '\0'))
    stop("HOST_RUN_MULTIPROCESSORS: got \"%s\", expected a number from 1 to 1000", variable);
  return static_cast<int>(count);
}

cudaError_t noted(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool possible(const dim3& grid, const dim3& block) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return grid.x >= 1 && grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535 &&
         threads >= 1 && threads <= 1024 && block.z <= 64;
}

}  // namespace

void fail(const char* function, const Place& place, const char* reason) {
  block.fail(block.running(), function, place, reason);
}

void wait_for_block(const Place& place) { block.wait(State::kAtBlock, place); }

int lane() { return static_cast<int>(block.running().index % 32); }

void wait_for_lanes(const Exchange& exchange, const Place& place) {
  if (!(exchange.mask >> lane() & 1u)) fail(exchange.function, place, "the mask does not name the thread itself");
  Thread& thread = block.running();
  thread.exchange = exchange;
  thread.state = State::kAtLanes;
  block.exchange_if_complete();
  block.wait(thread.state, place);
}

void* dynamic_shared_memory() { return block.dynamic_memory(); }

// Reads at once, for AddressSanitizer to name the line of a bad address, and writes as late as CUDA may.
void copy_later(void* to, const void* from, std::size_t size, std::size_t zeros, const Place& place) {
  const char* name = "__pipeline_memcpy_async";
  if (size != 4 && size != 8 && size != 16) fail(name, place, "the size is not 4, 8 or 16");
  if (zeros > size) fail(name, place, "more zeros than bytes");
  if (reinterpret_cast<uintptr_t>(to) % size != 0) fail(name, place, "the destination is not aligned");
  if (reinterpret_cast<uintptr_t>(from) % size != 0) fail(name, place, "the source is not aligned");
  Copy copy = {to, {}, size, block.running().batches};
  if (zeros < size) std::memcpy(copy.bytes.data(), from, size - zeros);
  block.running().copies.push_back(copy);
}

void close_batch() { ++block.running().batches; }

void wait_for_batches(std::size_t still_open) {
  Thread& thread = block.running();
  std::erase_if(thread.copies, [&](const Copy& copy) {
    const bool waited_for = copy.batch + still_open < thread.batches;
    if (waited_for) std::memcpy(copy.to, copy.bytes.data(), copy.size);
    return waited_for;
  });
}

cudaError_t allow_dynamic_shared_memory(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<std::size_t>(bytes) > kSharedBytesAllowed) return noted(cudaErrorInvalidValue);
  const std::lock_guard lock(one_launch_at_a_time);
  allowed_shared_bytes[kernel] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, const std::function<void()>& thread) {
  const std::lock_guard lock(one_launch_at_a_time);
  if (!possible(config.gridDim, config.blockDim)) return noted(cudaErrorInvalidConfiguration);
  const auto allowed = allowed_shared_bytes.find(kernel);
  const std::size_t most = std::max(kSharedBytes, allowed == allowed_shared_bytes.end() ? 0 : allowed->second);
  if (config.dynamicSmemBytes > most || config.numAttrs != 0) return noted(cudaErrorInvalidValue);
  const StaticSharedMemory static_memory;
  Order blocks, threads;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  for (const std::size_t i : blocks.of(std::size_t{gridDim.x} * gridDim.y * gridDim.z)) {
    blockIdx = position(i, gridDim);
    block.run(blockDim, config.dynamicSmemBytes, static_memory, threads, thread);
  }
  return cudaSuccess;
}

}  // namespace host_run

cudaError_t cudaPeekAtLastError() { return host_run::last_error; }

cudaError_t cudaGetLastError() { return std::exchange(host_run::last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return host_run::noted(cudaErrorInvalidDevice);
  *value = attribute == cudaDevAttrMultiProcessorCount ? host_run::multiprocessors()
                                                       : static_cast<int>(host_run::kSharedBytesAllowed);
  return cudaSuccess;
}

// torch's, which its CPU build lacks.
extern "C" int32_t aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = nullptr;
  return 0;
}
