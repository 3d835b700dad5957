// SPDX-License-Identifier: Apache-2.0
#include "quantization/output_noise.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "analysis/weight_editor.h"
#include "mcompress/interrupt.h"
#include "numerics/sparsity.h"

namespace mcompress::quantization {
namespace {

constexpr size_t kSamples = 12;
constexpr double kPruned = 0.5;

/// Values of the first samples, by sample.
using Values = std::vector<std::vector<float>>;

std::map<std::string, Values> run(const Model& model, PassContext& context,
                                  const std::vector<std::string>& names) {
  std::map<std::string, Values> result;
  const size_t samples = std::min(kSamples, context.calibration().data().size());
  context.calibration().for_each(
      model, names, samples,
      [&](size_t, std::span<const std::string> of_group, std::span<const Tensor> tensors) {
        for (size_t i = 0; i < of_group.size(); ++i) {
          if (!is_floating(tensors[i].type())) continue;
          result[of_group[i]].push_back(tensors[i].to_float());
        }
      });
  return result;
}

/// Squared difference over squared distance from the mean, and for an element; negative where there
/// is nothing to compare.
struct Difference {
  double relative = -1, of_element = -1;
};

Difference difference(const Values& before, const Values& after) {
  double error = 0, energy = 0;
  size_t count = 0;
  if (before.size() != after.size()) return {};
  for (size_t s = 0; s < before.size(); ++s) {
    if (before[s].size() != after[s].size() || before[s].empty()) return {};
    count += before[s].size();
    double mean = 0;
    for (const float v : before[s]) mean += v / static_cast<double>(before[s].size());
    for (size_t i = 0; i < before[s].size(); ++i) {
      error += std::pow(static_cast<double>(after[s][i]) - before[s][i], 2);
      energy += std::pow(before[s][i] - mean, 2);
    }
  }
  if (!(energy > 0) || !std::isfinite(error)) return {};
  return {error / energy, error / static_cast<double>(count)};
}

/// A copy in which the layer has lost its smallest weights.
Model without_smallest(const Model& model, const std::string& output) {
  Model copy = model.clone();
  const std::vector<Layer> layers = find_layers(copy);
  analysis::WeightEditor editor(layers);
  for (const Layer& layer : layers) {
    if (layer.output != output) continue;
    const Tensor weight = editor.read(layer);
    std::vector<float> values = weight.to_float();
    const std::vector<float> scores = numerics::magnitude_scores(values);
    const numerics::ScoredLayer scored{scores};
    numerics::apply_mask(
        numerics::prune_lowest({&scored, 1}, numerics::prune_count(weight.count(), kPruned))[0],
        values);
    editor.write(layer, Tensor::from(weight.shape(), values).cast(weight.type()));
    break;
  }
  return copy;
}

std::vector<std::string> output_names(const Model& model) {
  std::vector<std::string> names;
  for (const ValueInfo& info : model.graph().outputs()) names.push_back(info.name);
  return names;
}

Difference difference_of(const std::map<std::string, Values>& before,
                         const std::map<std::string, Values>& after, const std::string& name) {
  const auto a = before.find(name), b = after.find(name);
  return a == before.end() || b == after.end() ? Difference() : difference(a->second, b->second);
}

/// Of the output that suffers most.
double largest_relative(const std::map<std::string, Values>& before,
                        const std::map<std::string, Values>& after,
                        const std::vector<std::string>& names) {
  double largest = 0;
  for (const std::string& name : names) {
    largest = std::max(largest, difference_of(before, after, name).relative);
  }
  return largest;
}

}  // namespace

std::vector<double> output_errors(const Model& model, PassContext& context, size_t trials,
                                  const std::function<void(size_t trial, Model& copy)>& change) {
  const std::vector<std::string> outputs = output_names(model);
  const std::map<std::string, Values> before = run(model, context, outputs);
  std::vector<double> result;
  for (size_t trial = 0; trial < trials; ++trial) {
    check_interrupt();
    Model copy = model.clone();
    change(trial, copy);
    result.push_back(largest_relative(before, run(copy, context, outputs), outputs));
  }
  return result;
}

std::vector<double> output_noise(const Model& model, PassContext& context,
                                 std::span<const Layer> layers) {
  const std::vector<std::string> outputs = output_names(model);
  const std::map<std::string, Values> before = run(model, context, outputs);
  std::vector<double> result;
  for (const Layer& layer : layers) {
    check_interrupt();
    const std::map<std::string, Values> own = run(model, context, {layer.output});
    std::vector<std::string> watched = outputs;
    if (std::find(outputs.begin(), outputs.end(), layer.output) == outputs.end()) {
      watched.push_back(layer.output);
    }
    const auto after = run(without_smallest(model, layer.output), context, watched);
    const Difference of_layer = difference_of(own, after, layer.output);
    const double of_model = largest_relative(before, after, outputs);
    const bool told = of_layer.of_element > 0 && of_model > 0;
    result.push_back(told ? of_model / of_layer.of_element : 0);
  }
  return result;
}

}  // namespace mcompress::quantization
