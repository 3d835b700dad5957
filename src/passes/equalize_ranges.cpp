// SPDX-License-Identifier: Apache-2.0
//
// Brings the ranges of channels together before quantization, which knows one scale for a whole
// activation; the model computes what it did before.
//
//   Before:  y = Conv(x, W1, b1)        z = Relu(y)    u = Conv(z, W2, b2)
//   After:   y / s = Conv(x, W1 / s, b1 / s)   ...     u = Conv(z / s, W2 s, b2)
//
// Values that can only be divided together form a class (quantization/equalize_classes.h): a value
// and what Relu, pools, Add, Transpose or a gate make of it. At its rim the factors go into layers
// (on their output side free of rounding cost, since weights have a scale per output channel; on
// their input side free for depthwise layers), and into the constants of Mul, Div, LayerNorm and
// BatchNorm. An activation that needs the true value (HardSigmoid, Sigmoid) can get it from an
// explicit Mul by s: `explicit-mul: worthwhile` puts one where the expected noise falls by more
// than a factor of two.
//
// s_c = R_c^a / w_c^(1-a), a = `balance`. With calibration data R_c is the range of channel c over
// the data; without, the largest weight that makes it, with a = 1/2: cross-layer equalization
// through pairs and depthwise triples (Nagel et al. 2019, arXiv:1906.04721). Per-channel
// activation ranges on both sides of any layer: algorithms.md section 3.
//
// `absorb-bias: observed` then takes from each channel before a Relu what all its values exceed,
// and puts it into the biases of the layers behind: u = Conv(Relu(y - c), W2, b2 + W2 c).
//
// Refuses: graph inputs and outputs, values that are read as they are, shared or tied weights.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/equalize.h"

namespace mcompress::passes {
namespace {

using quantization::ClassStatistics;
using quantization::ScaleClass;
using quantization::ScaleGraph;

constexpr double kDefaultBalance = 0.7, kWeightsOnlyBalance = 0.5;
constexpr double kLeastChange = 1.05;   // between the smallest and the largest factor
constexpr double kLeastGain = 0.8;      // of the expected noise; below, the estimate may err
constexpr double kWorthNoise = 0.0005;  // of the outputs' variance: below, 8 bits do no harm
constexpr double kWorthRatio = 0.5;

enum class ExplicitMul { kNever, kWorthwhile };
enum class AbsorbBias { kNever, kObserved };
constexpr double kShiftDeviations = 3;  // below the mean: data has outliers that samples miss

/// A class, and what it is to be divided by.
struct Division {
  const ScaleClass* scale_class = nullptr;
  std::vector<double> factors;
};

class EqualizeRanges final : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "equalize-ranges",
        .summary = "bring the ranges of channels together before quantization",
        .fidelity = Fidelity::kRounding,
        .needs = {.runtime = true},
        .idempotent = false,
        .cost = "a pass over the calibration data where there is some",
        .benefit = "8-bit activations with one scale lose far less"};
    return info;
  }

  void describe(OptionSet& o) override {
    o.add("balance", balance_,
          "How much of the ranges goes into weights: 0 evens out the weights, 1 the activations; "
          "auto is 0.7 with calibration data and 0.5 without",
          {"auto"})
        .range(0, 1);
    o.add("explicit-mul", explicit_mul_,
          {{"never", ExplicitMul::kNever}, {"worthwhile", ExplicitMul::kWorthwhile}},
          "Put a Mul before an activation that needs the true value, where noise falls by half");
    o.add("absorb-bias", absorb_bias_,
          {{"never", AbsorbBias::kNever}, {"observed", AbsorbBias::kObserved}},
          "Move what all values of a channel before a Relu exceed (by calibration data) into the "
          "biases behind it: smaller ranges, but other values then come out differently");
  }

  bool acts_on_layers() const override { return true; }

  bool run(Model& model, PassContext& context) override {
    const std::vector<Layer> selected = select_layers(model, context);
    const ValueTypes types = context.sample_types(model);
    ScaleGraph graph = quantization::find_scale_classes(model, types, selected, true);
    observe(model, context, graph);
    std::vector<Division> divisions;
    for (const ScaleClass& one : graph.classes) {
      if (auto division = divide(model, context, graph, one)) divisions.push_back(*division);
    }
    std::map<const ScaleClass*, std::vector<double>> shifts;
    for (const ScaleClass& one : graph.classes) {
      auto shift = shift_of(model, context, graph, one, divisions);
      if (!shift.empty()) shifts[&one] = std::move(shift);
    }
    report(context, graph, divisions, selected);
    int muls = 0;
    for (const Division& division : divisions) {
      muls += quantization::divide_class(model, graph, *division.scale_class, division.factors);
    }
    for (const ScaleClass& one : graph.classes) {  // in their order, not that of addresses
      const auto shift = shifts.find(&one);
      if (shift != shifts.end()) quantization::absorb_bias(graph, one, shift->second);
    }
    if (absorb_bias_ != AbsorbBias::kNever) {
      context.count("biases absorbed", static_cast<int64_t>(shifts.size()));
    }
    context.count("groups of values equalized", static_cast<int64_t>(divisions.size()));
    context.count("explicit Mul", muls);
    return !divisions.empty() || !shifts.empty();
  }

 private:
  /// What can be taken from the divided values of a class, or nothing where the widest range stays
  /// about as wide.
  std::vector<double> shift_of(const Model& model, PassContext& context, const ScaleGraph& graph,
                               const ScaleClass& one,
                               const std::vector<Division>& divisions) const {
    if (absorb_bias_ == AbsorbBias::kNever || !context.has_calibration()) return {};
    const auto* const value = quantization::absorbing_value(model, graph, one);
    if (value == nullptr) return {};
    const auto found = context.calibration().channels(model, value->name);
    if (!found || found->max.size() != static_cast<size_t>(one.channels)) return {};
    std::vector<double> factors(found->max.size(), 1.0);
    for (const Division& division : divisions) {
      if (division.scale_class == &one) factors = division.factors;
    }
    std::vector<double> shift;
    double before = 0, after = 0;
    for (size_t c = 0; c < factors.size(); ++c) {
      const double mean = found->mean[c];
      const double deviation = std::sqrt(std::max(0.0, found->mean_square[c] - mean * mean));
      const double least = std::min<double>(found->min[c], mean - kShiftDeviations * deviation);
      shift.push_back(std::max(0.0, least) / factors[c]);
      before = std::max(before, found->max[c] / factors[c]);
      after = std::max(after, found->max[c] / factors[c] - shift[c]);
    }
    return after < kLeastGain * before ? shift : std::vector<double>();
  }

  std::string obstacle(const ScaleClass& one) const {
    if (!one.obstacle.empty()) return one.obstacle;
    if (!one.activations.empty() && explicit_mul_ == ExplicitMul::kNever) {
      return one.activations[0].node.label() + " needs the value as it is (explicit-mul: never)";
    }
    return "";
  }

  void observe(const Model& model, PassContext& context, const ScaleGraph& graph) const {
    if (!context.has_calibration()) return;
    std::vector<ObservedValue> values;
    for (const ScaleClass& one : graph.classes) {
      if (!obstacle(one).empty()) continue;
      for (const auto& value : one.values) {
        if (value.enters_layer || value.leaves_layer) values.push_back({value.name, value.axis});
      }
    }
    if (!values.empty()) context.calibration().observe(model, values);
  }

  ClassStatistics statistics_of(const Model& model, PassContext& context, const ScaleGraph& graph,
                                const ScaleClass& one) const {
    ClassStatistics statistics;
    const auto channels = static_cast<size_t>(one.channels);
    if (context.has_calibration()) {
      for (const auto& value : one.values) {
        if (!value.enters_layer && !value.leaves_layer) continue;
        const auto found = context.calibration().channels(model, value.name);
        const auto own = static_cast<size_t>(value.channels),
                   first = static_cast<size_t>(value.first);
        if (!found || found->max.size() != own) continue;
        ClassStatistics::Value known{
            std::vector<double>(channels, 0.0), {}, value.enters_layer, first, own};
        if (!found->mean_square.empty()) known.mean_square.assign(channels, 0.0);
        for (size_t c = 0; c < own; ++c) {
          known.range[first + c] = std::max({0.0F, found->max[c], -found->min[c]});
          if (!known.mean_square.empty()) known.mean_square[first + c] = found->mean_square[c];
        }
        statistics.values.push_back(std::move(known));
      }
      statistics.observed = !statistics.values.empty();
      return statistics;
    }
    for (const size_t i : one.producers) {
      const auto own = quantization::output_magnitudes(graph.layers[i]);
      std::vector<double> range(channels, 0.0);
      std::copy(own.begin(), own.end(),
                range.begin() + quantization::first_channel(one, graph.layers[i], true));
      statistics.values.push_back({std::move(range), {}, false});
    }
    return statistics;
  }

  std::optional<Division> divide(const Model& model, PassContext& context, const ScaleGraph& graph,
                                 const ScaleClass& one) const {
    if (!obstacle(one).empty()) return std::nullopt;
    const ClassStatistics statistics = statistics_of(model, context, graph, one);
    if (statistics.values.empty()) return std::nullopt;
    const auto readers = quantization::readers_of(graph, one);
    const double balance =
        balance_.value_or(statistics.observed ? kDefaultBalance : kWeightsOnlyBalance);
    auto factors = quantization::migration_factors(statistics, readers, balance);
    const auto [least, most] = std::minmax_element(factors.begin(), factors.end());
    if (*most < kLeastChange * *least) return std::nullopt;
    const bool worthwhile = is_worthwhile(statistics, readers, factors, one);
    if (!worthwhile) return std::nullopt;
    return Division{&one, std::move(factors)};
  }

  static bool is_worthwhile(const ClassStatistics& statistics,
                            const quantization::ClassReaders& readers,
                            const std::vector<double>& factors, const ScaleClass& one) {
    if (!statistics.observed) return one.activations.empty();
    const std::vector<double> ones(factors.size(), 1.0);
    const double before = quantization::expected_noise(statistics, readers, ones);
    const double after = quantization::expected_noise(statistics, readers, factors);
    if (one.activations.empty()) return after < kLeastGain * before;
    return before > kWorthNoise && after < kWorthRatio * before;
  }

  void report(PassContext& context, const ScaleGraph& graph, const std::vector<Division>& divisions,
              const std::vector<Layer>& selected) const {
    std::vector<bool> in(graph.layers.size()), out(graph.layers.size());
    for (const Division& division : divisions) {
      for (const size_t i : division.scale_class->producers) out[i] = true;
      for (const size_t i : division.scale_class->consumers) in[i] = true;
    }
    std::vector<std::string> reasons(graph.layers.size());
    for (const ScaleClass& one : graph.classes) {
      const std::string why = obstacle(one);
      for (const auto* const side : {&one.producers, &one.consumers}) {
        for (const size_t i : *side) {
          if (reasons[i].empty()) reasons[i] = why.empty() ? "its channels are alike" : why;
        }
      }
    }
    for (const Layer& layer : selected) {
      const auto found =
          std::find_if(graph.layers.begin(), graph.layers.end(), [&](const auto& affine) {
            return affine.layer().node == layer.node && affine.layer().output == layer.output;
          });
      if (found == graph.layers.end()) {
        context.skipped(layer, "its weight is shared, or takes no factors");
        continue;
      }
      const auto i = static_cast<size_t>(found - graph.layers.begin());
      if (!in[i] && !out[i]) {
        context.skipped(layer, reasons[i]);
        continue;
      }
      context.decided(layer, {.method = "ranges equalized",
                              .detail = in[i] && out[i] ? "both sides"
                                        : in[i]         ? "input"
                                                        : "output"});
    }
  }

  std::optional<double> balance_;
  ExplicitMul explicit_mul_ = ExplicitMul::kNever;
  AbsorbBias absorb_bias_ = AbsorbBias::kNever;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(equalize_ranges, mcompress::passes::EqualizeRanges)
