// SPDX-License-Identifier: Apache-2.0
#include "quantization/equalize.h"

#include <algorithm>
#include <cmath>

#include "analysis/layer_matrix.h"
#include "analysis/patterns.h"

namespace mcompress::quantization {
namespace {

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// Calls `visit(weight, output channel, input channel)` for each weight of a layer.
template <class Visit>
void for_each_value(const Layer& layer, Visit visit) {
  const auto weight = analysis::read_floats(layer.weight);
  if (!weight) return;
  analysis::for_each_weight(layer, [&](size_t i, int64_t out, int64_t in) {
    visit((*weight)[i], to_size(out), to_size(in));
  });
}

/// Ranges of the class: of each value beside its own largest, the larger of all values.
std::vector<double> joint_ranges(const ClassStatistics& statistics) {
  std::vector<double> joint;
  for (const auto& value : statistics.values) {
    const double largest = *std::max_element(value.range.begin(), value.range.end());
    joint.resize(value.range.size(), 0.0);
    if (!(largest > 0)) continue;
    for (size_t c = 0; c < joint.size(); ++c) {
      joint[c] = std::max(joint[c], value.range[c] / largest);
    }
  }
  return joint;
}

/// The largest weight on each channel beside the largest of the same output; 0 where no output
/// shares its scale among channels.
std::vector<double> joint_weights(const ClassReaders& readers, size_t channels) {
  std::vector<double> joint(channels, 0.0);
  for (const auto& row : readers.rows) {
    const double largest = *std::max_element(row.largest.begin(), row.largest.end());
    if (!(largest > 0)) continue;
    for (size_t c = 0; c < channels; ++c) joint[c] = std::max(joint[c], row.largest[c] / largest);
  }
  return joint;
}

void normalize(std::vector<double>& factors, double most) {
  const double largest = *std::max_element(factors.begin(), factors.end());
  if (!(largest > 0)) {
    std::fill(factors.begin(), factors.end(), 1.0);
    return;
  }
  double logs = 0;
  for (double& f : factors) {
    f = std::max(f, largest / most);
    logs += std::log(f);
  }
  const double mean = std::exp(logs / static_cast<double>(factors.size()));
  for (double& f : factors) f /= mean;
}

constexpr double kValueSteps = 255, kWeightSteps = 127;

/// What a value's rounding to 8 bits adds, divided by the squares of the factors.
double step_variance(const std::vector<double>& range, const std::vector<double>& factors) {
  double widest = 0;
  for (size_t c = 0; c < range.size(); ++c) widest = std::max(widest, range[c] / factors[c]);
  const double step = widest / kValueSteps;
  return step * step / 12;
}

/// Of each channel the mean square in the value that a layer reads, the last where there are
/// several; in the first value where no layer reads the channel. Empty where nothing is known.
std::vector<double> mean_squares(const ClassStatistics& statistics, size_t channels) {
  std::vector<double> result;
  std::vector<bool> known(channels, false);
  for (const bool entries : {false, true}) {
    for (const auto& value : statistics.values) {
      if (value.is_entry != entries || value.mean_square.empty()) continue;
      result.resize(channels, 0.0);
      for (size_t c = value.first; c < channels && c - value.first < value.channels; ++c) {
        if (known[c] && !entries) continue;
        result[c] = value.mean_square[c];
        known[c] = true;
      }
    }
  }
  return result;
}

}  // namespace

ClassReaders readers_of(const ScaleGraph& graph, const ScaleClass& scale_class) {
  ClassReaders readers;
  const size_t channels = to_size(scale_class.channels);
  for (const size_t i : scale_class.consumers) {
    const Layer& layer = graph.layers[i].layer();
    if (layer.is_depthwise()) continue;
    const size_t first = readers.rows.size();
    const size_t channel = to_size(first_channel(scale_class, graph.layers[i], false));
    readers.rows.resize(first + to_size(layer.outputs),
                        {std::vector<double>(channels, 0.0), std::vector<double>(channels, 0.0)});
    for_each_value(layer, [&](double w, size_t out, size_t in) {
      auto& row = readers.rows[first + out];
      row.energy[channel + in] += w * w;
      row.largest[channel + in] = std::max(row.largest[channel + in], std::abs(w));
    });
  }
  return readers;
}

std::vector<double> output_magnitudes(const analysis::AffineLayer& layer) {
  std::vector<double> largest(to_size(layer.layer().outputs), 0.0);
  for_each_value(layer.layer(), [&](double w, size_t out, size_t) {
    largest[out] = std::max(largest[out], std::abs(w));
  });
  return largest;
}

std::vector<double> migration_factors(const ClassStatistics& statistics,
                                      const ClassReaders& readers, double balance, double most) {
  const std::vector<double> ranges = joint_ranges(statistics);
  const std::vector<double> weights = joint_weights(readers, ranges.size());
  const bool shared = !readers.rows.empty();
  std::vector<double> factors(ranges.size(), 0.0);
  for (size_t c = 0; c < ranges.size(); ++c) {
    if (!(ranges[c] > 0)) continue;
    if (!shared) {
      factors[c] = ranges[c];
    } else if (weights[c] > 0) {
      factors[c] = std::pow(ranges[c], balance) / std::pow(weights[c], 1 - balance);
    } else {
      factors[c] = std::pow(ranges[c], balance);  // nobody reads the channel
    }
  }
  normalize(factors, most);
  return factors;
}

double expected_noise(const ClassStatistics& statistics, const ClassReaders& readers,
                      const std::vector<double>& factors) {
  const size_t channels = factors.size();
  double per_step = 0;  // noise at the outputs for a variance of 1 of the divided values
  double of_weights = 0;
  double rounding = 0;
  for (const auto& value : statistics.values) rounding += step_variance(value.range, factors);
  const std::vector<double> mean_square = mean_squares(statistics, channels);
  if (mean_square.empty()) return 0;
  for (const auto& row : readers.rows) {
    double signal = 0, spread = 0, energy = 0, largest = 0;
    for (size_t c = 0; c < channels; ++c) {
      const double square = factors[c] * factors[c];
      signal += row.energy[c] * mean_square[c];
      spread += row.energy[c] * square;
      energy += mean_square[c] / square;
      largest = std::max(largest, row.largest[c] * factors[c]);
    }
    if (!(signal > 0)) continue;
    const double step = largest / kWeightSteps;
    const auto rows = static_cast<double>(readers.rows.size());
    per_step += spread / signal / rows;
    of_weights += step * step / 12 * energy / signal / rows;
  }
  if (readers.rows.empty()) {
    for (size_t c = 0; c < channels; ++c) {
      const double square = factors[c] * factors[c];
      if (!(mean_square[c] > 0)) continue;
      per_step += square / mean_square[c] / static_cast<double>(channels);
    }
  }
  return rounding * per_step + of_weights;
}

}  // namespace mcompress::quantization
