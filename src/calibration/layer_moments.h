// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mcompress/pass_context.h"

namespace mcompress::calibration {

/// What may be held at one time.
struct MomentBudget {
  size_t gram_bytes = size_t{128} << 20;  ///< of the layers that are summed in one run of the data
  size_t tap_bytes = size_t{32} << 20;    ///< of values that one Run returns
  /// Rows that are summed of a layer with K inputs: about rows_per_input * K + least_rows (less
  /// for a few inputs), evenly spread over samples and positions.
  int64_t rows_per_input = 8;
  int64_t least_rows = 8192;
  /// Where fewer samples have as many rows, only some are run, evenly spread, but so many: rows of
  /// one sample are alike.
  size_t least_samples = 100;
};

/// CalibrationService::moments.
std::vector<std::string> collect_moments(
    RuntimeService& runtime, const Model& model, const Dataset& data, std::span<const Layer> layers,
    const MomentBudget& budget, int threads, const std::function<void(size_t sample)>& seen,
    const std::function<void(size_t layer, std::span<const LayerMoments> groups)>& visit);

}  // namespace mcompress::calibration
