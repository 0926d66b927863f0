#pragma once

#include <cstddef>

#include "host_run/block.h"

namespace host_run {

void copy_later(void* to, const void* from, std::size_t size, std::size_t zeros, const Place& place);
void close_batch();
void wait_for_batches(std::size_t still_open);

}  // namespace host_run

inline void __pipeline_memcpy_async(void* to, const void* from, std::size_t size, std::size_t zeros = 0,
                                    const host_run::Place& place = host_run::Place::current()) {
  host_run::copy_later(to, from, size, zeros, place);
}
inline void __pipeline_commit() { host_run::close_batch(); }
inline void __pipeline_wait_prior(std::size_t still_open) { host_run::wait_for_batches(still_open); }
