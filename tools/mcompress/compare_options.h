// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "inputs.h"
#include "log.h"
#include "pipeline/compare.h"

namespace mcompress::tool {

/// What evaluate and compare work with. Opens the runtime.
inline CompareOptions compare_options(const ModelOptions& models, const OutputOptions& output) {
  CompareOptions options;
  options.threads = models.thread_count();
  options.runtime = models.open_runtime();
  options.progress = output.make_progress();
  options.self_program = "/proc/self/exe";
  return options;
}

}  // namespace mcompress::tool
