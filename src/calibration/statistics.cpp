// SPDX-License-Identifier: Apache-2.0
#include "calibration/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "analysis/layer_matrix.h"
#include "mcompress/layer.h"
#include "numerics/range_choice.h"

namespace mcompress::calibration {
namespace {

struct MethodName {
  RangeMethod method;
  std::string_view name;
};
constexpr std::array<MethodName, 6> kMethods{{{RangeMethod::kMse, "mse"},
                                              {RangeMethod::kMinMax, "min-max"},
                                              {RangeMethod::kMovingAverage, "moving-average"},
                                              {RangeMethod::kPercentile, "percentile"},
                                              {RangeMethod::kEntropy, "entropy"},
                                              {RangeMethod::kAuto, "auto"}}};

numerics::RangeMethod numeric_method(RangeMethod method) {
  switch (method) {
    case RangeMethod::kPercentile:
      return numerics::RangeMethod::kPercentile;
    case RangeMethod::kEntropy:
      return numerics::RangeMethod::kEntropy;
    case RangeMethod::kMse:
    case RangeMethod::kAuto:
      return numerics::RangeMethod::kMse;
    case RangeMethod::kMinMax:
    case RangeMethod::kMovingAverage:
      break;
  }
  return numerics::RangeMethod::kMinMax;
}

numerics::RangeOptions numeric_options(const RangeOptions& options) {
  return {.method = numeric_method(options.method),
          .range = numerics::int_range(options.bits, options.symmetric, options.symmetric),
          .symmetric = options.symmetric,
          .percentile = options.percentile / 100};
}

ChosenRange choose_one(const ValueStatistics& statistics, const RangeOptions& options) {
  ChosenRange result;
  result.method = options.method;
  if (options.method == RangeMethod::kMovingAverage) {
    result.low = std::min(0.0f, statistics.moving.min());
    result.high = std::max(0.0f, statistics.moving.max());
    if (options.symmetric) {
      result.high = std::max(-result.low, result.high);
      result.low = -result.high;
    }
    return result;
  }
  const auto range = numerics::choose_range(statistics.histogram, numeric_options(options));
  result.low = range.low;
  result.high = range.high;
  return result;
}

/// The error of a range at the output of the layer that reads the value.
class OutputError {
 public:
  OutputError(const ValueStatistics& statistics, const RangeOptions& options,
              const std::vector<double>& energy)
      : histogram_(statistics.histogram), grid_(numeric_options(options)) {
    if (statistics.channels.empty()) return;
    channels_ = statistics.channels.statistics();
    if (energy.size() != channels_.min.size()) return;
    energy_ = energy;
    for (const double e : energy_) mean_energy_ += e;
    mean_energy_ /= static_cast<double>(energy_.size());
  }

  double of(const ChosenRange& range) const {
    const auto params = numerics::params_of({range.low, range.high}, grid_);
    const auto error = numerics::expected_error_parts(histogram_, params, grid_.range);
    if (energy_.empty() || mean_energy_ <= 0) return error.rounding + error.above + error.below;
    return error.rounding * mean_energy_ + error.above * energy_beyond(range.high, 1) +
           error.below * energy_beyond(range.low, -1);
  }

 private:
  /// Mean energy of what lies beyond a bound: a channel that reaches there has a share of it as the
  /// tail of a Laplace distribution with its mean and variance.
  double energy_beyond(double bound, int side) const {
    double sum = 0, shares = 0;
    for (size_t c = 0; c < energy_.size(); ++c) {
      const double extreme = side > 0 ? channels_.max[c] : channels_.min[c];
      if (side * (extreme - bound) <= 0) continue;
      const double mean = channels_.mean[c];
      const double variance = channels_.mean_square[c] - mean * mean;
      if (variance <= 0) continue;
      const double distance = std::max(0.0, side * (bound - mean));
      const double share = variance * std::exp(-distance / std::sqrt(variance / 2));
      sum += share * energy_[c];
      shares += share;
    }
    return shares > 0 ? sum / shares : mean_energy_;
  }

  const numerics::Histogram& histogram_;
  numerics::RangeOptions grid_;
  ChannelStatistics channels_;
  std::vector<double> energy_;
  double mean_energy_ = 0;
};

/// Sum of the squared weights that read each input channel.
std::vector<double> energy_of(const Layer& layer) {
  const auto weight = layer.weight.constant();
  if (!weight) return {};
  const std::vector<float> values = weight->to_float();
  const analysis::LayerMatrix matrix(layer, values);
  const int64_t taps =
      layer.kind == LayerKind::kConv ? std::max<int64_t>(1, layer.kernel) : int64_t{1};
  const int64_t channels = matrix.inputs() / taps;
  std::vector<double> energy(static_cast<size_t>(matrix.groups() * channels), 0.0);
  for (int64_t g = 0; g < matrix.groups(); ++g) {
    const auto w = matrix.group(g);
    for (int64_t i = 0; i < matrix.inputs(); ++i) {
      double& sum = energy[static_cast<size_t>(g * channels + i / taps)];
      for (int64_t o = 0; o < matrix.outputs(); ++o) {
        const double v = w[static_cast<size_t>(i * matrix.outputs() + o)];
        sum += v * v;
      }
    }
  }
  return energy;
}

}  // namespace

std::string_view method_name(RangeMethod method) {
  for (const auto& [value, name] : kMethods) {
    if (value == method) return name;
  }
  return "";
}

std::optional<RangeMethod> method_of(std::string_view name) {
  for (const auto& [value, text] : kMethods) {
    if (text == name) return value;
  }
  return std::nullopt;
}

int64_t ValueStatistics::add(const Tensor& tensor, size_t most) {
  if (!is_floating(tensor.type()) || tensor.count() == 0) return 0;
  const std::vector<float> converted =
      tensor.type() == DataType::kFloat ? std::vector<float>() : tensor.to_float();
  const auto values = converted.empty() ? tensor.as<float>() : std::span<const float>(converted);
  const auto extent = histogram.add_sampled(values, most);
  if (extent.non_finite > 0) return extent.non_finite;
  moving.add(extent);
  ++samples;
  if (channel_axis >= 0 && channel_axis < static_cast<int>(tensor.shape().size())) {
    channels.add(values, numerics::channel_layout(tensor.shape(), channel_axis));
  }
  return 0;
}

void ValueStatistics::merge(const ValueStatistics& other) {
  histogram.merge(other.histogram);
  moving.merge(other.moving, static_cast<double>(samples), static_cast<double>(other.samples));
  samples += other.samples;
  if (channel_axis == other.channel_axis) {
    channels.merge(other.channels);
  } else {
    channels = {};
    channel_axis = -1;
  }
}

ChosenRange choose_range(const ValueStatistics& statistics, const RangeOptions& options,
                         const std::vector<double>& energy) {
  if (options.method != RangeMethod::kAuto) return choose_one(statistics, options);
  const OutputError error(statistics, options, energy);
  ChosenRange best;
  double least = std::numeric_limits<double>::infinity();
  // kMse comes first: of equals it is taken.
  for (const auto& [method, name] : kMethods) {
    if (method == RangeMethod::kAuto) continue;
    RangeOptions one = options;
    one.method = method;
    const ChosenRange range = choose_one(statistics, one);
    const double found = error.of(range);
    if (found >= least) continue;
    least = found;
    best = range;
  }
  return best;
}

std::map<std::string, std::vector<double>> channel_energies(const Model& model) {
  std::map<std::string, std::vector<double>> energies;
  for (const Layer& layer : find_layers(model.graph().model())) {
    if (layer.node.graph().parent() != nullptr || !layer.weight_is_plain) continue;
    if (!analysis::LayerMatrix::obstacle(layer).empty()) continue;
    const ValueRef input = layer.node.input(layer.weight_input == 0 ? 1 : 0);
    if (!input || layer.weight_input == 0) continue;  // channels on another axis
    const std::vector<double> one = energy_of(layer);
    auto& sum = energies[input.name()];
    if (sum.empty()) sum.resize(one.size(), 0.0);
    for (size_t c = 0; c < one.size() && one.size() == sum.size(); ++c) sum[c] += one[c];
  }
  return energies;
}

}  // namespace mcompress::calibration
