// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace mcompress::train {

/// While one lives, memory of freed tensors stays with the process: each step asks for the same
/// blocks again, and pages that come from the system anew take a sixth of its time. The program
/// otherwise gives large blocks back at once (tools/mcompress/main.cpp), which stands again
/// afterwards.
class KeptMemory {
 public:
  KeptMemory() { keep_up_to(kLargest, kMost); }
  ~KeptMemory() {
    keep_up_to(kUsual, kUsual);
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
  }
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

 private:
  static constexpr int kUsual = 1 << 20;
  static constexpr int kLargest = 1 << 25;  // glibc takes no more
  static constexpr int kMost = 1 << 30;

  static void keep_up_to([[maybe_unused]] int block, [[maybe_unused]] int free) {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, block);
    mallopt(M_TRIM_THRESHOLD, free);
#endif
  }
};

}  // namespace mcompress::train
