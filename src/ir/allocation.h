// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

namespace mcompress::ir {

/// Memory for the payload of a tensor, not initialized, aligned to a cache line; large ones ask the
/// system for huge pages, as small ones cost more to map than to fill. Null for 0 bytes.
std::shared_ptr<std::byte[]> allocate_payload(size_t size);

}  // namespace mcompress::ir
