#pragma once

#include <bit>
#include <cstddef>
#include <source_location>

#include "host_run/arithmetic.h"

// Where the threads of a block and of a warp meet.
namespace host_run {

using Place = std::source_location;  // of the call, for messages

[[noreturn]] void fail(const char* function, const Place& place, const char* reason);
void wait_for_block(const Place& place);
int lane();

// What a lane brings to a meeting of the lanes in the mask, and from which lane it takes.
struct Exchange {
  const char* function;
  unsigned mask;
  int source = 0;
  const void* given = nullptr;
  void* taken = nullptr;
  std::size_t bytes = 0;
};
void wait_for_lanes(const Exchange& exchange, const Place& place);

void* dynamic_shared_memory();

// `source` of a lane and of the last lane of its group of `width`. A lane that asks outside takes its own value.
template <class T, class Source>
T shuffle(const char* function, unsigned mask, T value, int width, const Place& place, const Source& source) {
  if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width)))
    fail(function, place, "the width is not 1, 2, 4, 8, 16 or 32");
  const int last = lane() | (width - 1), wanted = source(lane(), last);
  T taken;
  wait_for_lanes({function, mask, wanted <= last ? wanted : lane(), &value, &taken, sizeof(T)}, place);
  return taken;
}

}  // namespace host_run

inline void __syncthreads(const host_run::Place& place = host_run::Place::current()) {
  host_run::wait_for_block(place);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const host_run::Place& place = host_run::Place::current()) {
  host_run::wait_for_lanes({"__syncwarp", mask}, place);
}

template <host_run::Number T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              const host_run::Place& place = host_run::Place::current()) {
  return host_run::shuffle("__shfl_sync", mask, value, width, place,
                           [&](int, int last) { return (last & -width) | (source & (width - 1)); });
}

template <host_run::Number T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const host_run::Place& place = host_run::Place::current()) {
  return host_run::shuffle("__shfl_down_sync", mask, value, width, place,
                           [&](int lane, int) { return lane + static_cast<int>(delta & 31u); });
}

template <host_run::Number T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  const host_run::Place& place = host_run::Place::current()) {
  return host_run::shuffle("__shfl_xor_sync", mask, value, width, place,
                           [&](int lane, int) { return lane ^ (bits & 31); });
}
