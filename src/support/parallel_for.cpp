// SPDX-License-Identifier: Apache-2.0
#include "support/parallel_for.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>

namespace mcompress {
namespace {

// An arena of its own, because the default one never grows beyond the number of cores, and four
// threads on two cores are what the tests of reproducibility ask for.
struct Workers {
  explicit Workers(int count)
      : threads(count),
        limit(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(count)),
        arena(count) {}

  int threads;
  tbb::global_control limit;
  tbb::task_arena arena;
};

std::unique_ptr<Workers> make_workers(int count) {
  if (count <= 0) count = tbb::info::default_concurrency();
  return std::make_unique<Workers>(std::max(count, 1));
}

std::unique_ptr<Workers>& workers() {
  static std::unique_ptr<Workers> instance = make_workers(0);
  return instance;
}

class LowestFailure {
 public:
  bool is_above(int64_t chunk) const { return chunk > lowest_.load(std::memory_order_relaxed); }

  void record(int64_t chunk, std::exception_ptr exception) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (chunk >= lowest_.load(std::memory_order_relaxed)) return;
    lowest_.store(chunk, std::memory_order_relaxed);
    exception_ = std::move(exception);
  }

  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::atomic<int64_t> lowest_{std::numeric_limits<int64_t>::max()};
  std::mutex mutex_;
  std::exception_ptr exception_;
};

}  // namespace

void set_thread_count(int count) { workers() = make_workers(count); }

int thread_count() { return workers()->threads; }

void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& fn) {
  if (begin >= end) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t chunks = (end - begin - 1) / grain + 1;
  const auto run_chunk = [&](int64_t chunk) {
    const int64_t first = begin + chunk * grain;
    fn(first, end - first > grain ? first + grain : end);
  };
  if (chunks == 1 || workers()->threads == 1) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) run_chunk(chunk);
    return;
  }

  LowestFailure failure;
  const auto run_range = [&](const tbb::blocked_range<int64_t>& range) {
    for (int64_t chunk = range.begin(); chunk != range.end(); ++chunk) {
      if (failure.is_above(chunk)) return;
      try {
        run_chunk(chunk);
      } catch (...) {
        failure.record(chunk, std::current_exception());
      }
    }
  };
  // Isolated, so that a thread that waits for an inner loop does not start another outer chunk and
  // hold the memory of two.
  workers()->arena.execute([&] {
    tbb::this_task_arena::isolate([&] {
      tbb::parallel_for(tbb::blocked_range<int64_t>(0, chunks, 1), run_range,
                        tbb::simple_partitioner());
    });
  });
  failure.rethrow();
}

}  // namespace mcompress
