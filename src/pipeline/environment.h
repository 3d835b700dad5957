// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/report.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

/// Where figures were measured. `runtime` may be null.
EnvironmentReport environment_of(const RuntimeService* runtime, int threads);

}  // namespace mcompress
