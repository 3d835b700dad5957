// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mcompress/error.h"

namespace mcompress::archive {

/// An archive that is not what it says it is.
inline Error damaged(const std::string& what) {
  return Error(ErrorCode::kModel, "the archive is damaged: " + what)
      .hint("copy it again, or make it again with: mcompress pack");
}

}  // namespace mcompress::archive
