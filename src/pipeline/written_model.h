// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mcompress/mcompress.h"
#include "mcompress/metric.h"
#include "mcompress/model.h"
#include "mcompress/pass_context.h"
#include "mcompress/report.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

/// A run whose model was written, as far as its last figures ask for it.
struct WrittenModel {
  std::filesystem::path input_path, output_path;
  Model* baseline = nullptr;
  Model* written = nullptr;  ///< as read back, with the state of the run
  const ValueTypes* baseline_types = nullptr;
  ValueTypes types;                         ///< of `written`; empty where it does not run
  std::optional<uint64_t> nonzeros;         ///< of `written`, where they are known
  std::shared_ptr<RuntimeService> runtime;  ///< null: the model does not run, sizes only
  Evaluator* evaluator = nullptr;           ///< null without data to judge by
  const Dataset* data = nullptr;            ///< for signal-to-noise; may be null
  std::optional<Feeds> sample;              ///< for times
  bool is_sample_real = false;              ///< false: zeros, which a model may refuse
  /// False where the model is too large for whole sessions: no latency, no memory, no layer times.
  bool opens_sessions = true;
  const std::vector<PassContext::Decision>* decisions = nullptr;
  std::vector<LimitSpec> constraints;
};

/// Fills what the report says of the written file: sizes, metric, latency, memory, layers,
/// and whether the constraints hold. `report.steps` and `report.size_before` are read.
void measure_written(WrittenModel run, const RunOptions& options, RunReport& report);

}  // namespace mcompress
