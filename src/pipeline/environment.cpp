// SPDX-License-Identifier: Apache-2.0
#include "pipeline/environment.h"

#include "support/system_info.h"

namespace mcompress {

EnvironmentReport environment_of(const RuntimeService* runtime, int threads) {
  EnvironmentReport report;
  report.tool_version = MCOMPRESS_VERSION;
  if (runtime != nullptr) report.runtime_version = runtime->version();
  report.cpu = support::cpu_name();
  report.instruction_sets = support::instruction_sets();
  report.os = support::operating_system();
  report.compiler = support::compiler();
  report.threads = threads;
  return report;
}

}  // namespace mcompress
