// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace mcompress {

/// Threads that parallel_for may use from now on, the calling one included; 0 = all cores. Not to
/// be called while a parallel_for runs.
void set_thread_count(int count);
int thread_count();

/// Calls fn(chunk_begin, chunk_end) once for each chunk [begin + i * grain, begin + (i + 1) *
/// grain) of [begin, end), the last one cut short. The chunks depend on begin, end and grain only,
/// never on the number of threads, so per-chunk results added up in order of chunks are
/// reproducible. If chunks throw, the exception of the lowest one is rethrown; chunks above it may
/// be left out. May be nested. `grain` below 1 counts as 1.
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t chunk_begin, int64_t chunk_end)>& fn);

}  // namespace mcompress
