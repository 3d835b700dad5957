// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "mcompress/trainer.h"

namespace mcompress::train {

/// What can be told before anything is read or computed: throws kData without data, or with less of
/// it than one batch.
const TrainingTask& checked(const TrainingTask& task);
/// Throws kRecipe where a checkpoint cannot be written.
void require_place(const std::filesystem::path& checkpoint);

}  // namespace mcompress::train
