// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/report.h"

namespace mcompress::testing {

/// A run with everything in it: gates that hold, fail and roll back, skips, warnings, a long name.
RunReport sample_run();
/// The least that a run can say: no data, no steps.
RunReport bare_run();
/// A step that trained for 12 epochs, the eighth of which was kept.
RunReport trained_run();
InspectReport sample_inspect();
CompareReport sample_compare();
EvaluateReport sample_evaluate();
SensitivityReport sample_sensitivity();

}  // namespace mcompress::testing
