// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mcompress/options.h"
#include "quantization/prepare.h"
#include "quantization/weight_only.h"

namespace mcompress::quantization {

/// Widths that a weight can have.
inline void add_weight_bits(OptionSet& o, std::string name, WeightBits& bits,
                            std::string description) {
  o.add(std::move(name), bits,
        {{"8", WeightBits::k8},
         {"4", WeightBits::k4},
         {"3", WeightBits::k3},
         {"2", WeightBits::k2},
         {"ternary", WeightBits::kTernary},
         {"binary", WeightBits::kBinary}},
        std::move(description));
}

/// What steps that compute in 8 bits have in common: ranges of activations, which layers, and how
/// weights are rounded. A pass changes the defaults that do not suit it before it describes them.
struct IntegerOptions {
  PrepareOptions how;
  bool only_what_pays = true;

  /// `method` and `percentile`; `more` ends the description of the first.
  void describe_ranges(OptionSet& o, const std::string& more) {
    o.add("method", how.ranges.method,
          {{"mse", RangeMethod::kMse},
           {"min-max", RangeMethod::kMinMax},
           {"moving-average", RangeMethod::kMovingAverage},
           {"percentile", RangeMethod::kPercentile},
           {"entropy", RangeMethod::kEntropy},
           {"auto", RangeMethod::kAuto}},
          "How the range of an activation is chosen from its histogram" + more);
    o.add("percentile", how.ranges.percentile,
          "Part of all values within the range, in per cent, for method percentile")
        .range(50, 100);
  }

  /// `where`, `rounding` and `bias-correction`; `more` ends the descriptions of the last two.
  void describe_layers(OptionSet& o, const std::string& more) {
    o.add("where", only_what_pays, {{"pays", true}, {"everywhere", false}},
          "Layers that are cheaper in 8 bits by the costs of the target, or all that have an "
          "integer kernel");
    o.add("rounding", how.rounding,
          {{"nearest", Rounding::kNearest},
           {"mse", Rounding::kMse},
           {"gptq", Rounding::kGptq},
           {"adaptive", Rounding::kAdaptive}},
          "How the integers of a weight are chosen" + more);
    o.add("bias-correction", how.correct_bias,
          "Take what rounding adds to the mean of an output out of the bias" + more);
  }
};

}  // namespace mcompress::quantization
