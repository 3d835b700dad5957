// SPDX-License-Identifier: Apache-2.0
#include "pipeline/growth.h"

#include <cmath>

#include <fmt/format.h>

#include "support/units.h"

namespace mcompress {
namespace {

/// Names, settings and the run's own metadata come and go.
constexpr uint64_t kSlackBytes = 1024;
constexpr double kSlack = 1.02;

bool is_larger(uint64_t bytes, uint64_t before) {
  return bytes > before + kSlackBytes &&
         static_cast<double>(bytes) > kSlack * static_cast<double>(before);
}

std::string growth(uint64_t before, uint64_t after) {
  return format_bytes(before) + " -> " + format_bytes(after);
}

/// The least limit, in tenths of a per cent of the input, that `bytes` keep.
std::string limit_of(uint64_t bytes, uint64_t input_bytes) {
  const double share = static_cast<double>(bytes) / static_cast<double>(input_bytes);
  return fmt::format("{:.4g} %", std::ceil(share * 1000) / 10);
}

}  // namespace

void warn_of_growth(RunReport& report, uint64_t input_bytes, uint64_t output_bytes) {
  uint64_t before = input_bytes;  // 0: not known
  for (StepReport& step : report.steps) {
    if (step.rolled_back) {
      // The state before the round that was taken back is not on record.
      if (step.name == "repeat") before = 0;
      continue;
    }
    const uint64_t after = step.size.file_bytes;
    if (before > 0 && is_larger(after, before) && is_larger(output_bytes, before)) {
      step.warnings.push_back(fmt::format(
          "makes the file larger, {}: leave it out where size counts, or let a gate take it back: "
          "gate: {{size: \"<= {}\", on-fail: roll-back}}",
          growth(before, after), limit_of(before, input_bytes)));
    }
    before = after;
  }
  if (!is_larger(output_bytes, input_bytes)) return;
  report.warnings.push_back("the model became larger than the input, " +
                            growth(input_bytes, output_bytes) +
                            ": leave out the steps that add to it, which the table shows "
                            "(mcompress recipe show NAME prints a "
                            "built-in recipe to start from)");
}

}  // namespace mcompress
