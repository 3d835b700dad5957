// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/error.h"
#include "mcompress/pass_context.h"

namespace mcompress {

/// Types for a pass that can do without: none where there is no runtime, or where it does not load
/// the model (custom operators, rules.md 19). Returns a copy, which edits do not touch.
inline ValueTypes known_types(const Model& model, PassContext& context) {
  if (!context.has_runtime()) return {};
  try {
    return context.types(model);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    return {};
  }
}

}  // namespace mcompress
