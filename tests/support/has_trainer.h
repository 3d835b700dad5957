// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/error.h"
#include "mcompress/trainer.h"

namespace mcompress::testing {

/// Whether this was built with libtorch.
inline bool has_trainer() {
  try {
    open_trainer();
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace mcompress::testing
