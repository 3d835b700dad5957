// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress {

/// The newest version of the default domain that models can be raised to.
inline constexpr int64_t kNewestOpset = 21;
/// The oldest version that models can be raised from.
inline constexpr int64_t kOldestOpset = 7;

struct RaiseResult {
  int64_t from = 0;
  int64_t to = 0;
  /// Operator -> nodes rewritten (a node that several versions change counts once for each).
  std::map<std::string, int> adapted = {};
  bool changed() const { return from != to; }
};

/// Raises the default domain's operator set to `target`, bodies included, so that every value keeps
/// its name and meaning; does nothing to a model that is there already. `types` are needed where an
/// attribute becomes an input (element type) or an axis changes its meaning (rank, optional: what
/// is unknown gets a longer form that is right for all ranks).
/// Throws Unsupported, with the model untouched, for what rules.cpp refuses.
RaiseResult raise_opset(Model& model, int64_t target, const ValueTypes& types);

}  // namespace mcompress
