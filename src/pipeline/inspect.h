// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "mcompress/model.h"
#include "mcompress/report.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

/// What is in a model that was loaded from `path`: `mcompress inspect`. Reads every weight once. A
/// model that the runtime does not load is told with the runtime's words, and without
/// multiply-accumulates.
InspectReport inspect_model(const std::filesystem::path& path, Model& model,
                            RuntimeService& runtime);

}  // namespace mcompress
