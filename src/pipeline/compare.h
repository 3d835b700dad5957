// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"
#include "mcompress/report.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

/// A model and the file it was loaded from.
struct LoadedModel {
  std::filesystem::path path;
  Model model;
};

struct CompareOptions {
  std::shared_ptr<RuntimeService> runtime;
  std::shared_ptr<Progress> progress;  ///< may be null
  std::filesystem::path self_program;  ///< for figures of a session in a child
  int threads = 1;
};

/// Metric, latency and sizes of one model on the evaluation data of `recipe`: `mcompress evaluate`.
/// Metrics that need a reference compare with `reference`, else with the model itself. Throws kData
/// without data.
EvaluateReport evaluate_model(LoadedModel& model, LoadedModel* reference, const Recipe& recipe,
                              const CompareOptions& options);

/// Sizes and interleaved latency of B beside A, and with evaluation data the metric and how near
/// outputs and layers of B are to those of A: `mcompress compare`.
CompareReport compare_models(LoadedModel& a, LoadedModel& b, const Recipe& recipe,
                             const CompareOptions& options);

}  // namespace mcompress
