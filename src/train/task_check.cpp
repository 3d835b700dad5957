// SPDX-License-Identifier: Apache-2.0
#include "train/task_check.h"

#include <fmt/format.h>

#include "mcompress/error.h"
#include "support/file.h"

namespace mcompress::train {

const TrainingTask& checked(const TrainingTask& task) {
  if (!task.data) throw Error(ErrorCode::kData, "there is no data to train on");
  if (task.batch < 1) throw Error(ErrorCode::kRecipe, "a batch needs at least one sample");
  const size_t count = task.data->size();
  if (count >= task.batch) return task;
  throw Error(
      ErrorCode::kData,
      fmt::format("{}: {} less than one batch of {}", task.data->description(),
                  count == 1 ? "1 sample is" : fmt::format("{} samples are", count), task.batch))
      .hint(count == 0 ? "give samples to train on" : fmt::format("batch: {}", count));
}

void require_place(const std::filesystem::path& checkpoint) {
  try {
    support::require_writable(checkpoint, true);
  } catch (const Error& error) {
    throw Error(ErrorCode::kRecipe, "checkpoint: " + error.message())
        .hint("name a file in a folder that exists and can be written");
  }
}

}  // namespace mcompress::train
