// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "mcompress/model.h"
#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"
#include "mcompress/report.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

enum class Validate { kAuto, kNone, kLayers, kFull };

/// What a run may use besides model and recipe.
struct RunOptions {
  std::shared_ptr<RuntimeService> runtime;          ///< required
  std::shared_ptr<Progress> progress;               ///< optional
  int threads = 1;                                  ///< of our own work; latency uses one
  bool dry_run = false;                             ///< plan and predicted sizes only
  bool freeze_inputs = false;
  Validate validate = Validate::kAuto;
  bool measure_latency = true;
  bool measure_layers = true;                       ///< per-layer time and SQNR of the written file
  std::optional<std::filesystem::path> keep_steps;  ///< folder for the model after each step
  std::filesystem::path cost_folder;                ///< of the user's cost tables; "": none
  bool measure_costs = false;                       ///< measure what the cost table lacks, and keep it
  std::filesystem::path self_program;               ///< the mcompress program, for figures of a session in a child
  SaveOptions save;
};

/// Compresses `input` by `recipe` and writes `output`. Never touches the input, never leaves a partial
/// file. A failed gate or constraint is not an exception: the report says so (`failed`), and the best
/// model so far is written. Throws Error for everything else.
RunReport compress(const std::filesystem::path& input, const std::filesystem::path& output,
                   const Recipe& recipe, const PassRegistry& passes, const RunOptions& options);

/// Version of the library: "0.1.0".
std::string version();

}  // namespace mcompress
