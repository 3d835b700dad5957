// SPDX-License-Identifier: Apache-2.0
//
// Moves what makes activations hard to quantize into the weights that read them; the model computes
// what it did before.
//
//   Before:  n = LayerNormalization(x, g, b)             y = MatMul(n, W)
//   After:   n / s = LayerNormalization(x, g / s, b / s) y = MatMul(n / s, W s)
//
// The factors come out of whatever produces the value: LayerNormalization, also in pieces (its Mul
// and Add), BatchNormalization, a Mul or Div by a constant, or a layer (in front of Relu and the
// like, too). All layers that read the value share one s.
//
//   method smooth   s_j = max|X_j|^alpha / max|W_j|^(1 - alpha)   for 8-bit activations
//                   (SmoothQuant, arXiv:2211.10438)
//   method aware    s_j = rms(X_j)^r, r of 20 steps the one with the least output error of weights
//                   rounded to `bits`, by the moments of the inputs; for weights of few bits
//                   (AWQ, arXiv:2306.00978)
//
// Refuses: convolutions (equalize-ranges knows them), values that other nodes read as they are, or
// that nothing can divide; shared or tied weights.
#include <algorithm>
#include <array>
#include <map>

#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/smooth.h"

namespace mcompress::passes {
namespace {

using quantization::ScaleClass;
using quantization::ScaleGraph;

enum class Method { kSmooth, kAware };

constexpr double kLeastChange = 1.05;  // between the smallest and the largest factor

bool is_product(const Layer& layer) {
  return layer.kind == LayerKind::kMatMul || layer.kind == LayerKind::kGemm;
}

class SmoothActivations final : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "smooth-activations",
        .summary = "move outlying channels of activations into the weights that read them",
        .fidelity = Fidelity::kRounding,
        .needs = {.runtime = true, .calibration = true},
        .idempotent = false,
        .cost = "a pass over the calibration data",
        .benefit = "products lose less in 8 bits, or with weights of few bits"};
    return info;
  }

  void describe(OptionSet& o) override {
    o.add("method", method_, {{"smooth", Method::kSmooth}, {"aware", Method::kAware}},
          "By ranges, for activations in 8 bits; or by the output error of weights of few bits");
    o.add("alpha", alpha_, "For smooth: how much moves into the weights, 0..1").range(0, 1);
    o.add("bits", bits_, "For aware: bits of the weights that the error is measured with")
        .range(2, 8);
  }

  bool acts_on_layers() const override { return true; }

  bool run(Model& model, PassContext& context) override {
    const std::vector<Layer> selected = select_layers(model, context);
    const ValueTypes types = context.sample_types(model);
    ScaleGraph graph = quantization::find_scale_classes(model, types, selected);
    const std::vector<size_t> usable = usable_classes(graph);
    std::map<size_t, std::vector<double>> factors = method_ == Method::kSmooth
                                                        ? smooth(model, context, graph, usable)
                                                        : aware(model, context, graph, usable);
    std::erase_if(factors, [](const auto& one) {
      const auto [least, most] = std::minmax_element(one.second.begin(), one.second.end());
      return *most < kLeastChange * *least;
    });
    report(context, graph, factors, selected);
    for (const auto& [index, of_class] : factors) {
      quantization::divide_class(model, graph, graph.classes[index], of_class);
    }
    context.count("activations smoothed", static_cast<int64_t>(factors.size()));
    return !factors.empty();
  }

 private:
  static std::string obstacle(const ScaleGraph& graph, const ScaleClass& one) {
    if (!one.obstacle.empty()) return one.obstacle;
    if (!one.activations.empty()) {
      return one.activations[0].node.label() + " needs the value as it is";
    }
    for (const size_t i : one.consumers) {
      if (!is_product(graph.layers[i].layer())) return "a convolution reads the value";
    }
    return "";
  }

  static std::vector<size_t> usable_classes(const ScaleGraph& graph) {
    std::vector<size_t> usable;
    for (size_t i = 0; i < graph.classes.size(); ++i) {
      const ScaleClass& one = graph.classes[i];
      if (!one.consumers.empty() && obstacle(graph, one).empty()) usable.push_back(i);
    }
    return usable;
  }

  static std::vector<ObservedValue> entries_of(const ScaleClass& one) {
    std::vector<ObservedValue> values;
    for (const auto& value : one.values) {
      if (value.enters_layer) values.push_back({value.name, value.axis});
    }
    return values;
  }

  /// Statistics of the values of each class that enter layers.
  static void observe(const Model& model, PassContext& context, const ScaleGraph& graph,
                      const std::vector<size_t>& usable) {
    std::vector<ObservedValue> values;
    for (const size_t i : usable) {
      const auto own = entries_of(graph.classes[i]);
      values.insert(values.end(), own.begin(), own.end());
    }
    if (!values.empty()) context.calibration().observe(model, values);
  }

  static std::map<size_t, std::vector<double>> smooth_ranges(const Model& model,
                                                             PassContext& context,
                                                             const ScaleGraph& graph,
                                                             const std::vector<size_t>& usable,
                                                             bool squares) {
    std::map<size_t, std::vector<double>> ranges;
    for (const size_t i : usable) {
      const auto channels = static_cast<size_t>(graph.classes[i].channels);
      std::vector<double> range(channels, 0.0);
      for (const auto& value : entries_of(graph.classes[i])) {
        const auto known = context.calibration().channels(model, value.name);
        if (!known || known->max.size() != channels) continue;
        for (size_t j = 0; j < channels; ++j) {
          const double largest = std::max(known->max[j], -known->min[j]);
          range[j] = std::max(range[j], squares ? known->mean_square[j] : largest);
        }
      }
      ranges[i] = std::move(range);
    }
    return ranges;
  }

  std::map<size_t, std::vector<double>> smooth(const Model& model, PassContext& context,
                                               const ScaleGraph& graph,
                                               const std::vector<size_t>& usable) const {
    observe(model, context, graph, usable);
    std::map<size_t, std::vector<double>> factors;
    for (const auto& [i, range] : smooth_ranges(model, context, graph, usable, false)) {
      factors[i] = quantization::smoothing_factors(
          range, quantization::largest_read(graph, graph.classes[i]), alpha_);
    }
    return factors;
  }

  std::map<size_t, std::vector<double>> aware(const Model& model, PassContext& context,
                                              const ScaleGraph& graph,
                                              const std::vector<size_t>& usable) const {
    using Errors = std::array<double, quantization::kSmoothSteps>;
    observe(model, context, graph, usable);
    const auto squares = smooth_ranges(model, context, graph, usable, true);
    std::vector<Layer> layers;
    std::vector<size_t> class_of;
    for (const size_t i : usable) {
      for (const size_t at : graph.classes[i].consumers) {
        layers.push_back(graph.layers[at].layer());
        class_of.push_back(i);
      }
    }
    std::map<size_t, Errors> errors;
    context.calibration().moments(
        model, layers, [&](size_t at, std::span<const LayerMoments> moments) {
          const Tensor weight = *layers[at].weight.constant();
          Errors& sum = errors.try_emplace(class_of[at], Errors{}).first->second;
          for (int step = 0; step < quantization::kSmoothSteps; ++step) {
            sum[static_cast<size_t>(step)] += quantization::aware_error(
                layers[at], weight, moments,
                quantization::aware_factors(squares.at(class_of[at]), step), bits_);
          }
        });
    std::map<size_t, std::vector<double>> factors;
    for (const auto& [i, sum] : errors) {
      const auto best = std::min_element(sum.begin(), sum.end()) - sum.begin();
      if (best > 0) {
        factors[i] = quantization::aware_factors(squares.at(i), static_cast<int>(best));
      }
    }
    return factors;
  }

  void report(PassContext& context, const ScaleGraph& graph,
              const std::map<size_t, std::vector<double>>& factors,
              const std::vector<Layer>& selected) const {
    std::map<std::string, std::string> reasons;  // by the layer's output
    for (size_t i = 0; i < graph.classes.size(); ++i) {
      const ScaleClass& one = graph.classes[i];
      std::string why = obstacle(graph, one);
      if (why.empty() && !factors.contains(i)) why = "its inputs are even enough";
      for (const size_t at : one.consumers) reasons[graph.layers[at].layer().output] = why;
    }
    for (const Layer& layer : selected) {
      const auto found = reasons.find(layer.output);
      if (!is_product(layer)) {
        context.skipped(layer, "no product: equalize-ranges is for convolutions");
      } else if (found == reasons.end()) {
        context.skipped(layer, "its weight is shared, or takes no factors");
      } else if (!found->second.empty()) {
        context.skipped(layer, found->second);
      } else {
        context.decided(layer, {.method = "input smoothed", .detail = ""});
      }
    }
  }

  Method method_ = Method::kSmooth;
  double alpha_ = 0.5;
  int bits_ = 4;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(smooth_activations, mcompress::passes::SmoothActivations)
