// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mcompress/pass_context.h"
#include "quantization/equalize_classes.h"

namespace mcompress::quantization {

/// What is known of the channels of the values of one class.
struct ClassStatistics {
  struct Value {
    std::vector<double> range;        ///< largest magnitude of each channel
    std::vector<double> mean_square;  ///< empty without data
    bool is_entry = false;            ///< a layer multiplies it with its weight
    size_t first = 0, channels = SIZE_MAX;  ///< that it has; the figures of others are 0
  };
  std::vector<Value> values;  ///< those that are stored in 8 bits: entries and results of layers
  bool observed = false;      ///< false: ranges are those of the producers' weights
};

/// Weights of the layers that read a class: for each output what it takes of each channel.
struct ClassReaders {
  struct Row {
    std::vector<double> energy;   ///< sum over taps of w^2, by channel of the class
    std::vector<double> largest;  ///< max |w|, by channel
  };
  std::vector<Row> rows;  ///< of dense and grouped layers; depthwise layers need none
};

ClassReaders readers_of(const ScaleGraph& graph, const ScaleClass& scale_class);
/// Of every output channel of a layer max |w|, its bias left out.
std::vector<double> output_magnitudes(const analysis::AffineLayer& layer);

/// s_c = R_c^a / w_c^(1 - a) with R_c the largest magnitude of channel c beside that of its tensor
/// and w_c the largest weight on channel c beside that of its output (algorithms.md section 3);
/// s_c = R_c where no weight is shared among channels. Their geometric mean is 1, none is further
/// than `most` from the largest. Channels that are always 0 take the smallest.
std::vector<double> migration_factors(const ClassStatistics& statistics,
                                      const ClassReaders& readers, double balance,
                                      double most = 1000);

/// Expected noise of 8 bits, as a share of the variance that each output of the readers would have
/// if channels were independent, when the values of the class are divided by `factors`: rounding
/// of the values (one scale a tensor) and of the weights (one scale an output). Only with observed
/// statistics.
double expected_noise(const ClassStatistics& statistics, const ClassReaders& readers,
                      const std::vector<double>& factors);

}  // namespace mcompress::quantization
