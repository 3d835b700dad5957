// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace mcompress {

/// A layer was refused after it had been edited. The manager restores the step's snapshot and runs
/// the pass again without that layer (rules.md 17: a layer is a transaction).
struct LateRefusal {
  std::string layer_output;
  std::string reason;
};

}  // namespace mcompress
