// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "mcompress/pass_context.h"

namespace mcompress {

/// Statistics of inner values over `data`, in memory that does not grow with the number of samples:
/// taps are read in groups below a fixed budget and go into streaming histograms at once. The
/// statistics of a value are kept for as long as the model's fingerprint is the same. Results do
/// not depend on `threads`. `progress` may be null; each group of taps counts the samples anew.
/// Moments of layers are handed on and forgotten, but for `kept_moment_bytes` of one state of the
/// model, for those who ask for one layer after the other.
std::shared_ptr<CalibrationService> make_calibration(std::shared_ptr<RuntimeService> runtime,
                                                     std::shared_ptr<const Dataset> data,
                                                     int threads,
                                                     std::shared_ptr<Progress> progress = nullptr,
                                                     size_t kept_moment_bytes = 0);

}  // namespace mcompress
