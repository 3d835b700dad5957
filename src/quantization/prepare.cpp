// SPDX-License-Identifier: Apache-2.0
#include "quantization/prepare.h"

#include <algorithm>

#include "numerics/range_choice.h"

namespace mcompress::quantization {
namespace {

/// Moments of K inputs take K^2 numbers, rounding with them K^3 steps: one wide layer would take most
/// of all time and memory. At 8 bits, parts of its inputs are rounded by themselves.
constexpr int64_t kMostInputs = 1024;

void observe(const Model& model, CalibrationService& calibration, const std::vector<Unit>& units,
             const Plan& plan, const PrepareOptions& options) {
  std::map<std::string, int> axes;
  for (size_t i = 0; i < units.size(); ++i) {
    const Unit& unit = units[i];
    if (!plan.in_int8[i]) continue;
    for (const auto& input : unit.inputs) axes.try_emplace(input, -1);
    if (leaves_int8(unit)) axes.try_emplace(unit.output, -1);
    // A MatMul has no place for a corrected bias: the means of its inputs are of no use.
    if (options.correct_bias && is_layer(unit) && unit.layer.kind != LayerKind::kMatMul)
      axes[unit.inputs[0]] = unit.input_channel_axis;
  }
  // What moves values has the range of what it reads (value_params).
  for (size_t i = 0; i < units.size(); ++i) {
    const auto found = axes.find(units[i].output);
    const bool follows = plan.in_int8[i] && moves_values(units[i]);
    if (follows && found != axes.end() && found->second < 0) axes.erase(found);
  }
  std::vector<ObservedValue> values;
  for (const auto& [name, axis] : axes) values.push_back({name, axis});
  calibration.observe(model, values);
}

ValueParams value_params(const Model& model, PassContext& context, const std::vector<Unit>& units,
                         const RangeOptions& ranges) {
  const numerics::RangeOptions grid{.method = numerics::RangeMethod::kMinMax};
  ValueParams params;
  const auto add = [&](const std::string& name) {
    if (params.contains(name)) return;
    const auto range = context.calibration().range(model, name, ranges);
    if (!range) return;
    if (range->min == range->max) {
      context.warn("value '" + name + "' is constant over the calibration data");
    }
    params[name] = numerics::params_of({range->low, range->high}, grid);
  };
  for (const Unit& unit : units) {
    for (const auto& input : unit.inputs) add(input);
    if (leaves_int8(unit)) add(unit.output);
  }
  // What moves values must leave their scale alone, or the runtime computes in float.
  for (const Unit& unit : units) {
    const auto input = params.find(unit.inputs[0]);
    if (moves_values(unit) && input != params.end()) params[unit.output] = input->second;
  }
  return params;
}

bool is_known(const Unit& unit, const ValueParams& params) {
  return std::all_of(unit.inputs.begin(), unit.inputs.end(),
                     [&](const auto& input) { return params.contains(input); }) &&
         (!leaves_int8(unit) || params.contains(unit.output));
}

/// Moments that hold the means of the input rows only: those of the channels, padding aside.
std::vector<LayerMoments> means_of(const Model& model, CalibrationService& calibration,
                                   const Unit& unit) {
  const Layer& layer = unit.layer;
  const auto channels = calibration.channels(model, unit.inputs[0]);
  if (!channels || static_cast<int64_t>(channels->mean.size()) != layer.inputs) return {};
  const int64_t per_group = layer.inputs / layer.groups;
  std::vector<LayerMoments> groups(static_cast<size_t>(layer.groups));
  for (int64_t c = 0; c < layer.inputs; ++c) {
    auto& mean = groups[static_cast<size_t>(c / per_group)].mean;
    mean.insert(mean.end(), static_cast<size_t>(layer.kernel),
                channels->mean[static_cast<size_t>(c)]);
  }
  return groups;
}

bool in_8_bits(const Unit& unit, const PrepareOptions& options) {
  return options.bits == WeightBits::k8 || options.in_8_bits.contains(unit.layer.output);
}

/// The layer as if it had a group for each part of its input channels. Empty where it cannot be cut.
std::optional<Layer> in_parts(const Layer& layer) {
  const int64_t channels = layer.inputs / layer.groups;
  for (int64_t parts = 1; parts <= channels; ++parts) {
    if (channels % parts != 0 || channels / parts * layer.kernel > kMostInputs) continue;
    Layer result = layer;
    result.groups *= parts;
    return result;
  }
  return std::nullopt;
}

/// As what a layer's moments are asked for.
Layer for_moments(const Unit& unit, const PrepareOptions& options) {
  const Layer& layer = unit.layer;
  if (layer.kind != LayerKind::kConv || !in_8_bits(unit, options)) return layer;
  return in_parts(layer).value_or(layer);
}

LayerWeight weight_of(const Unit& unit, PassContext& context, const PrepareOptions& options,
                      std::span<const LayerMoments> moments, const ValueParams& params) {
  const Tensor weight = *unit.layer.weight.constant();
  const auto bias = unit.layer.bias ? unit.layer.bias.constant() : std::nullopt;
  return quantize_layer(unit.layer, weight, bias, params.at(unit.inputs[0]).scale, context.target(),
                        {.method = options.rounding,
                         .bits = in_8_bits(unit, options) ? WeightBits::k8 : options.bits,
                         .moments = moments,
                         .correct_bias = options.correct_bias});
}

}  // namespace

bool is_layer(const Unit& unit) {
  return unit.kind == UnitKind::kConv || unit.kind == UnitKind::kProduct;
}

Prepared prepare(const Model& model, PassContext& context, const std::vector<Unit>& units,
                 const Plan& plan, const PrepareOptions& options) {
  CalibrationService& calibration = context.calibration();
  observe(model, calibration, units, plan, options);
  Prepared result;
  result.params = value_params(model, context, units, options.ranges);
  std::vector<bool> known(units.size(), false);
  for (size_t i = 0; i < units.size(); ++i) {
    if (is_known(units[i], result.params)) {
      known[i] = is_layer(units[i]);
    } else {
      result.unobserved.insert(units[i].output);
    }
  }
  if (needs_moments(options.rounding) && calibration.has_data()) {
    for (size_t i = 0; i < units.size(); ++i) known[i] = known[i] && plan.in_int8[i];
    round_again(model, context, units, known, options, result);
    return result;
  }
  for (size_t i = 0; i < units.size(); ++i) {
    if (!known[i]) continue;
    const auto means =
        options.correct_bias ? means_of(model, calibration, units[i]) : std::vector<LayerMoments>();
    result.weights[units[i].output] = weight_of(units[i], context, options, means, result.params);
  }
  return result;
}

void round_again(const Model& model, PassContext& context, const std::vector<Unit>& units,
                 const std::vector<bool>& in_int8, const PrepareOptions& options,
                 Prepared& prepared) {
  std::vector<const Unit*> wanted;
  std::vector<Layer> layers;
  for (size_t i = 0; i < units.size(); ++i) {
    if (!in_int8[i] || !is_layer(units[i])) continue;
    wanted.push_back(&units[i]);
    layers.push_back(for_moments(units[i], options));
  }
  const auto left_out = context.calibration().moments(
      model, layers, [&](size_t layer, std::span<const LayerMoments> groups) {
        const Unit& unit = *wanted[layer];
        prepared.weights[unit.output] = weight_of(unit, context, options, groups, prepared.params);
      });
  for (size_t i = 0; i < left_out.size(); ++i) {
    if (left_out[i].empty()) continue;
    prepared.weights[wanted[i]->output] =
        weight_of(*wanted[i], context, options, {}, prepared.params);
  }
}

}  // namespace mcompress::quantization
