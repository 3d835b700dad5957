// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "mcompress/pass_context.h"

namespace mcompress {

/// Statistics of inner values over `data`, in memory that does not grow with the number of samples:
/// taps are read in groups below a fixed budget and go into streaming histograms at once. The
/// statistics of a value are kept for as long as the model's fingerprint is the same. Results do
/// not depend on `threads`. `progress` may be null; each group of taps counts the samples anew.
std::shared_ptr<CalibrationService> make_calibration(std::shared_ptr<RuntimeService> runtime,
                                                     std::shared_ptr<const Dataset> data,
                                                     int threads,
                                                     std::shared_ptr<Progress> progress = nullptr);

}  // namespace mcompress
