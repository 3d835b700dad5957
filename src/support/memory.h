// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mcompress::support {

/// Largest resident memory of this process so far, and what is resident now, in bytes; 0 where the
/// system does not tell.
uint64_t peak_resident_bytes();
uint64_t resident_bytes();

}  // namespace mcompress::support
