// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress::analysis {

struct HalfGraphResult {
  int64_t nodes = 0;    ///< that compute in half precision
  int64_t casts = 0;    ///< that were added
  int64_t flushed = 0;  ///< non-zero constants that became zero
};

/// Makes every node compute in half precision that can and that `stays_float` does not hold back.
/// Graph inputs and outputs, those of bodies included, keep their types; a value is cast once per
/// precision, in the graph that defines it, and all readers share the Cast. Constants are stored in
/// half precision, those that half cannot hold keep their reader in float. Nodes of other domains,
/// control flow and operators that are unsafe or undefined in half precision stay as they are.
HalfGraphResult convert_to_half(Model& model, const ValueTypes& types,
                                const std::function<bool(const NodeRef&)>& stays_float);

}  // namespace mcompress::analysis
