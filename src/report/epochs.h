// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mcompress/report.h"

namespace mcompress::reporting {

/// One epoch of a step that trained, as a table shows it.
struct EpochRow {
  std::string epoch, loss, validation_loss, metric, learning_rate, time;
  bool best = false;
};
/// All epochs of a step. `metric`: what they were judged by; null where that is not known.
std::vector<EpochRow> epoch_rows(const StepReport& step, const MetricFigure* metric);
/// At most `most` of them, evenly spread: the first, the last and the kept one are among them.
std::vector<EpochRow> some_of(const std::vector<EpochRow>& rows, size_t most);
/// What the epochs of a run were judged by; null where nothing was measured.
const MetricFigure* judging_metric(const RunReport& report);

}  // namespace mcompress::reporting
