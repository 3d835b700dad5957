// SPDX-License-Identifier: Apache-2.0
#include "quantization/prepare.h"

#include <algorithm>

#include "numerics/range_choice.h"

namespace mcompress::quantization {
namespace {

void observe(const Model& model, CalibrationService& calibration, const std::vector<Unit>& units,
             const Plan& plan) {
  std::map<std::string, int> axes;
  for (size_t i = 0; i < units.size(); ++i) {
    const Unit& unit = units[i];
    if (!plan.in_int8[i]) continue;
    for (const auto& input : unit.inputs) axes.try_emplace(input, -1);
    axes.try_emplace(unit.output, -1);
    if (!is_layer(unit)) continue;
    axes[unit.inputs[0]] = unit.input_channel_axis;
    axes[unit.output] = unit.channel_axis;
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
    const bool moves = unit.kind == UnitKind::kMaxPool || unit.kind == UnitKind::kMove;
    const auto input = params.find(unit.inputs[0]);
    if (moves && input != params.end()) params[unit.output] = input->second;
  }
  return params;
}

bool is_known(const Unit& unit, const ValueParams& params) {
  return std::all_of(unit.inputs.begin(), unit.inputs.end(),
                     [&](const auto& input) { return params.contains(input); }) &&
         (!leaves_int8(unit) || params.contains(unit.output));
}

double noise_of(const Model& model, CalibrationService& calibration, const Unit& unit,
                const Tensor& weight, const LayerWeight& quantized, const ValueParams& params) {
  const auto inputs = calibration.channels(model, unit.inputs[0]);
  const auto outputs = calibration.channels(model, unit.output);
  std::optional<numerics::QuantParams> output;
  if (leaves_int8(unit)) output = params.at(unit.output);
  return expected_noise(unit, weight.as<float>(), quantized.scales, params.at(unit.inputs[0]),
                        inputs.value_or(ChannelStatistics{}), output,
                        outputs.value_or(ChannelStatistics{}));
}

}  // namespace

bool is_layer(const Unit& unit) {
  return unit.kind == UnitKind::kConv || unit.kind == UnitKind::kProduct;
}

Prepared prepare(const Model& model, PassContext& context, const std::vector<Unit>& units,
                 const Plan& plan, const RangeOptions& ranges) {
  CalibrationService& calibration = context.calibration();
  observe(model, calibration, units, plan);
  Prepared result;
  result.params = value_params(model, context, units, ranges);
  for (const Unit& unit : units) {
    if (!is_known(unit, result.params)) {
      result.unobserved.insert(unit.output);
      continue;
    }
    if (!is_layer(unit)) continue;
    const Tensor weight = *unit.layer.weight.constant();
    const auto bias = unit.layer.bias ? unit.layer.bias.constant() : std::nullopt;
    LayerWeight quantized =
        quantize_layer(unit.layer, weight, bias, result.params.at(unit.inputs[0]).scale,
                       context.target());
    result.noise[unit.output] =
        noise_of(model, calibration, unit, weight, quantized, result.params);
    result.weights[unit.output] = std::move(quantized);
  }
  return result;
}

}  // namespace mcompress::quantization
