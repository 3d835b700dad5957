// SPDX-License-Identifier: Apache-2.0
//
// Runs matrix products and LSTMs on 8-bit integers; activations are quantized while the model runs,
// so no data is needed.
//
//   Before:  y = Gemm(x, W, b)                                   (or MatMul)
//   After:   q, sx, z = DynamicQuantizeLinear(x)
//            y = Add(Mul(Cast(MatMulInteger(q, Q, z)), Mul(sx, s)), b)      W ~ Q s, Q in -127..127
//   Before:  y = LSTM(x, W, R, b)
//   After:   y = com.microsoft.DynamicQuantizeLSTM(x, QW, QR, b, ..., sW, 0, sR, 0)
//
// The runtime fuses the first to DynamicQuantizeMatMul. alpha goes into the scales and beta into the
// bias; a weight of Gemm with transB is transposed, an input with transA gets a Transpose. Layers that
// read one value share its DynamicQuantizeLinear, layers that share a weight its integers. On targets
// whose kernels add pairs of products in 16 bits, Q obeys the pair rule, at the scale that costs least.
//
// With validation data, layers go back to float, those first whose quantization alone changes the
// outputs most, until the metric is within `tolerance`.
//
// Refuses: Conv (ConvInteger is 3 to 37 times slower than float), GRU and RNN (no integer kernel),
// everything that is no product with a matrix on the right, products below `min-macs`, where
// quantizing the input costs more than it saves, quantized weights, weights that unselected nodes read
// too, NaN.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "mcompress/metric.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/costs.h"
#include "quantization/damage.h"
#include "quantization/dynamic_layers.h"

namespace mcompress::passes {
namespace {

using quantization::DynamicConverter;

enum class Granularity { kChannel, kTensor };

constexpr int64_t kLeastOpset = 11;
constexpr size_t kDamageSamples = 16;
constexpr int kEvaluations = 7;

/// Rows of the product as far as they are known; open dimensions count as one.
int64_t rows_of(const ValueType& input) {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < input.shape.size(); ++d) rows *= std::max<int64_t>(input.shape[d], 1);
  return rows;
}

class QuantizeDynamic : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "quantize-dynamic",
        .summary =
            "run MatMul, Gemm and LSTM in INT8, activations quantized while the model runs",
        .fidelity = Fidelity::kLossy,
        .needs = {.runtime = true, .judge = true},
        .cost = "accuracy: little; one pass over each input to find its range",
        .benefit = "a quarter of the size and two to five times the speed of these layers",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("granularity", granularity_,
          {{"channel", Granularity::kChannel}, {"tensor", Granularity::kTensor}},
          "One scale per output channel, or one per weight");
    o.add("rounding", clip_,
          {{"nearest", numerics::ClipSearch::kNone}, {"mse", numerics::ClipSearch::kMse}},
          "Largest weight representable, or the clipping of least squared error");
    o.add("min-macs", min_macs_,
          "Leave products alone that have fewer multiply-accumulates per sample")
        .at_least(0);
    o.add("tolerance", tolerance_,
          "Points that the metric may lose on the validation data (per cent of metrics without "
          "points); beyond that, layers stay in float")
        .at_least(0);
  }
  std::optional<double> stored_bits_per_weight() const override { return 8; }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    const ValueTypes& types = context.types(model);
    std::set<std::string> possible;
    for (const Layer& layer : selected) {
      const int64_t rows = rows_of(types.find(layer.node.input(0)));
      if (std::string why = why_not(layer, rows, context); !why.empty()) {
        refusals_[key_of(layer)] = std::move(why);
      } else {
        possible.insert(key_of(layer));
      }
    }
    if (possible.empty()) return;
    context.require_opset(model, kLeastOpset);
    if (context.evaluator() != nullptr) return_to_tolerance(model, context, possible);
    converter_ = std::make_unique<DynamicConverter>(layers_of(model, possible), options(context));
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    if (is_converted(layer)) {  // with the other weight of the LSTM
      context.decided(layer, {.method = "dynamic int8", .detail = ""});
      return true;
    }
    if (const auto why = refusals_.find(key_of(layer)); why != refusals_.end()) {
      throw Unsupported(why->second);
    }
    const auto outcome = converter_->convert(layer);
    context.count("weights", outcome.weights);
    context.count("weights moved for the pair rule", outcome.moved);
    context.decided(layer, {.method = "dynamic int8",
                            .detail = outcome.moved == 0
                                          ? ""
                                          : fmt::format("{} weights moved for the pair rule",
                                                        outcome.moved)});
    return true;
  }

  bool finish(Model&, PassContext&) override {
    if (converter_) converter_->finish();
    return false;
  }

 private:
  quantization::DynamicOptions options(const PassContext& context) const {
    return {.per_channel = granularity_ == Granularity::kChannel,
            .clip = clip_,
            .pair_rule = context.target().needs_pair_rule()};
  }

  std::string why_not(const Layer& layer, int64_t rows, const PassContext& context) const {
    if (std::string why = quantization::dynamic_obstacle(layer); !why.empty()) return why;
    if (layer.kind == LayerKind::kRecurrent) return "";
    const int64_t macs = rows * layer.inputs * layer.outputs;
    if (macs < min_macs_) return fmt::format("{} multiply-accumulates are too few to gain", macs);
    const quantization::CostModel costs(context.target(), context.costs());
    if (costs.relative_time(forms::LayerForm::kDynamicInt8, layer, rows) >= 1) {
      return "the target gains nothing";
    }
    return "";
  }

  static std::vector<Layer> layers_of(Model& model, const std::set<std::string>& names) {
    std::vector<Layer> layers;
    for (Layer& layer : find_layers(model)) {
      if (names.contains(key_of(layer))) layers.push_back(std::move(layer));
    }
    return layers;
  }

  /// `model` with these layers on integers; those that refuse stay as they are.
  Model candidate(const Model& model, const PassContext& context,
                  const std::set<std::string>& names) const {
    Model result = model.clone();
    const auto layers = layers_of(result, names);
    DynamicConverter converter(layers, options(context));
    for (const Layer& layer : layers) {
      if (!layer.node.alive() || is_converted(layer)) continue;
      try {
        converter.convert(layer);
      } catch (const Unsupported&) {
        continue;
      }
    }
    converter.finish();
    return result;
  }

  /// The two weights of an LSTM go together.
  static std::string unit_of(const Layer& layer) {
    return layer.output + '|' + layer.node.output_name(1);
  }
  static std::string key_of(const Layer& layer) {
    return unit_of(layer) + '|' + std::to_string(layer.weight_input);
  }
  static bool is_converted(const Layer& layer) { return !layer.node.domain().empty(); }

  /// Takes out of `names` what has to stay in float, and says why.
  void return_to_tolerance(Model& model, PassContext& context, std::set<std::string>& names) {
    Evaluator& evaluator = *context.evaluator();
    const EvaluationResult before = evaluator.evaluate(model);
    const auto loss = [&](const std::set<std::string>& on_integers) {
      const Model changed = candidate(model, context, on_integers);
      return 100 * evaluator.compare(before, evaluator.evaluate(changed)).drop;
    };
    const double slack = 1e-9;
    const double whole = loss(names);
    if (whole <= tolerance_ + slack) return;
    std::map<std::string, std::set<std::string>> units;
    for (const Layer& layer : layers_of(model, names)) units[unit_of(layer)].insert(key_of(layer));
    quantization::DamageProbe probe(model, context.runtime(), evaluator.data(), kDamageSamples,
                                    context.threads());
    std::vector<std::pair<double, std::string>> ranking;
    for (const auto& [unit, members] : units) {
      ranking.emplace_back(-probe.damage(candidate(model, context, members)), unit);
    }
    std::sort(ranking.begin(), ranking.end());
    const auto without = [&](size_t count) {
      std::set<std::string> rest = names;
      for (size_t i = 0; i < count; ++i) {
        for (const auto& member : units.at(ranking[i].second)) rest.erase(member);
      }
      return rest;
    };
    const size_t count =
        quantization::least_count(ranking.size(), tolerance_ + slack, kEvaluations,
                                  [&](size_t n) { return n == 0 ? whole : loss(without(n)); });
    context.warn(fmt::format("{} would lose {:.2f} of {} with all of {} layers in int8: {} stay in float",
                             evaluator.metric().name, whole,
                             evaluator.metric().is_points ? "100 points" : "100 %", ranking.size(),
                             count));
    context.count("layers back to float", static_cast<int64_t>(count));
    for (size_t i = 0; i < count; ++i) {
      for (const auto& member : units.at(ranking[i].second)) {
        refusals_[member] = fmt::format("measured damage {:.2g} of the outputs by it alone",
                                        -ranking[i].first);
      }
    }
    names = without(count);
  }

  Granularity granularity_ = Granularity::kChannel;
  numerics::ClipSearch clip_ = numerics::ClipSearch::kNone;
  int64_t min_macs_ = 65536;
  double tolerance_ = 0.5;
  std::unique_ptr<DynamicConverter> converter_;
  std::map<std::string, std::string> refusals_;  ///< by layer
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(quantize_dynamic, QuantizeDynamic)
