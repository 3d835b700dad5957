// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "mcompress/pass_context.h"

namespace mcompress {

/// raise_opset as the service that passes ask for.
std::shared_ptr<OpsetService> make_opset_service();

}  // namespace mcompress
