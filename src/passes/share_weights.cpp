// SPDX-License-Identifier: Apache-2.0
//
// Lets each weight take few distinct values: the centroids of k-means.
//
//   Before:  y = MatMul(x, W)    W = [0.11, 0.09, 0, -0.52, -0.48]
//   After:   y = MatMul(x, W)    W = [0.10, 0.10, 0, -0.50, -0.50]        (values: 2)
//
// Without calibration data: the codebook of least squared error, the global optimum that one dimension
// allows (Wang and Song 2011; Gronlund et al., arXiv 1701.07204). With it: the least squared error of
// the layer's output. The codebook starts from k-means weighted by the second moments of the inputs,
// codes are chosen so that later weights make up for earlier ones (GPTQ, then weight by weight), the
// values are refitted by least squares, and the bias takes up the mean (numerics/obs_solver.h).
//
// Zeros stay zeros and are a value of their own, beside `values` others: 15 and the zero fit into
// codes of 4 bits. scope: channel gives each output a scale over the layer's codebook, which then is
// of 8-bit integers (stored as such, folds at load); scope: model is one codebook for all selected
// layers. encode-weights stores codes and codebook. Layers that share a weight go on sharing it.
// bias-values does the same to long biases, once the weights are done: behind pruned weights they
// are a fifth of the file.
//
// Refuses: weights with no more distinct values than asked for, quantized weights, weights that
// unselected nodes read too, NaN and infinities.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "analysis/weight_editor.h"
#include "analysis/weights.h"
#include "mcompress/pass_context.h"
#include "numerics/kmeans.h"
#include "pass/register.h"
#include "quantization/layer_fit.h"

namespace mcompress::passes {
namespace {

using numerics::KMeansMethod;
using quantization::LayerFit;

enum class Scope { kTensor, kChannel, kModel };
enum class Fit { kAuto, kWeights, kOutputs };

/// Codebooks of scope: channel are whole multiples of their largest value over this.
constexpr int kCodebookSteps = 127;
/// A codebook for fewer takes as much as it saves.
constexpr size_t kBiasesPerValue = 4;

class ShareWeights : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "share-weights",
        .summary = "let each weight take few distinct values, chosen by optimal k-means",
        .fidelity = Fidelity::kLossy,
        .cost = "accuracy: little with 15 values and more",
        .benefit = "an eighth of the size with 15 values, once encoded; latency stays as it is",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("values", values_,
          "Distinct values of a weight, zero left out; 2^b - 1 fill codes of b bits")
        .range(1, 255);
    o.add("scope", scope_,
          {{"tensor", Scope::kTensor}, {"channel", Scope::kChannel}, {"model", Scope::kModel}},
          "A codebook for each layer, one with a scale for each output, or one for all layers");
    o.add("fit", fit_,
          {{"auto", Fit::kAuto}, {"weights", Fit::kWeights}, {"outputs", Fit::kOutputs}},
          "Least error of the weights, or of the outputs on calibration data; auto: outputs where "
          "there is data");
    o.add("bias-values", bias_values_,
          "Distinct values of a bias, zero left out, where it has at least four times as many "
          "entries; 0: biases stay as they are")
        .range(0, 255);
    o.add("damping", damping_, "Added to the diagonal of X^T X, as a part of its mean").range(0, 1);
    o.add("method", method_,
          {{"auto", KMeansMethod::kAuto},
           {"exact", KMeansMethod::kExact},
           {"histogram", KMeansMethod::kHistogram}},
          "Global optimum, or the one over 65536 bins, which is faster; auto: by the number of "
          "weights");
  }
  std::string check_options() const override {
    if (scope_ != Scope::kChannel || values_ <= kCodebookSteps) return "";
    return fmt::format("scope: channel has at most {} values", kCodebookSteps);
  }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    editor_ = analysis::WeightEditor(selected);
    for (const Layer& layer : selected) selected_.insert(layer.output);
    const std::vector<Layer> layers = usable_layers(selected);
    if (scope_ == Scope::kModel) cluster_together(layers);
    if (fit_ == Fit::kWeights || (fit_ == Fit::kAuto && !context.has_calibration())) return;
    std::vector<Layer> matrices;
    for (const Layer& layer : layers) {
      if (analysis::LayerMatrix::obstacle(layer).empty()) matrices.push_back(layer);
    }
    // A layer that has no moments keeps the codebook of its weights.
    context.calibration().moments(model, matrices,
                                  [&](size_t i, std::span<const LayerMoments> groups) {
                                    fit_outputs(matrices[i], groups);
                                  });
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    if (editor_.is_done(layer)) {
      context.decided(layer,
                      {.method = method_name(), .detail = "shares its weight with a layer above"});
      return false;
    }
    const Tensor weight = editor_.read(layer);
    const std::vector<float> before = weight.to_float();
    refuse_useless(weight, before);
    context.count("weights", weight.count());
    auto fitted = fitted_.find(analysis::layer_key(layer));
    if (fitted == fitted_.end()) {
      fitted = fitted_.emplace(analysis::layer_key(layer), fit_weights(layer, weight, before)).first;
    }
    Solution& solution = fitted->second;
    context.decided(layer, {.method = method_name(), .detail = solution.detail});
    quantization::shift_bias(layer, solution.bias_shift);
    editor_.set_done(layer);
    if (solution.integers) {
      quantization::store_scaled(layer, *solution.integers);
      return true;
    }
    const bool changed = !(solution.weight == weight);
    const ValueRef value = changed ? editor_.write(layer, solution.weight) : layer.weight;
    analysis::record_constraint(layer.node.graph().model(), value, ConstraintKind::kCodebook,
                                info().name);
    return changed || !solution.bias_shift.empty();
  }

  bool finish(Model& model, PassContext& context) override {
    if (bias_values_ == 0) return false;
    bool changed = false;
    for (const Layer& layer : find_layers(model)) {
      if (selected_.count(layer.output) == 0 || !can_share_bias(layer)) continue;
      const Tensor bias = *layer.bias.constant();
      const std::vector<float> before = bias.to_float();
      const std::vector<float> after = nearest(
          before, numerics::cluster_values(before, {codes(before, bias_values_), true, method_}));
      const Tensor shared = Tensor::from(bias.shape(), after).cast(bias.type());
      if (shared != bias) layer.node.graph().set_constant(layer.bias, shared);
      changed |= shared != bias;
      context.count("biases", bias.count());
      analysis::record_constraint(model, layer.bias, ConstraintKind::kCodebook, info().name);
    }
    return changed;
  }

 private:
  struct Solution {
    Tensor weight;
    std::optional<forms::QuantizedWeight> integers;  ///< in the weight's place
    std::vector<float> bias_shift;
    std::string detail;
  };

  std::string method_name() const { return fmt::format("codebook of {}", values_); }

  /// The zero gets a code only where there is one.
  static int codes(const std::vector<float>& weights, int values) {
    return values + (std::find(weights.begin(), weights.end(), 0.0F) != weights.end() ? 1 : 0);
  }

  static std::vector<float> nearest(const std::vector<float>& weights,
                                    const numerics::Codebook& codebook) {
    std::vector<uint8_t> assigned(weights.size());
    numerics::CodeAssigner(codebook).assign(weights, assigned);
    std::vector<float> result(weights.size());
    numerics::decode_codes(assigned, codebook.values, result);
    return result;
  }

  bool can_share_bias(const Layer& layer) const {
    if (!layer.bias || layer.bias.is_graph_input() || layer.bias.is_graph_output()) return false;
    if (!is_floating(layer.bias.constant_type()) || layer.bias.uses().size() != 1) return false;
    const std::vector<float> values = layer.bias.constant()->to_float();
    return values.size() >= kBiasesPerValue * static_cast<size_t>(bias_values_) &&
           analysis::value_obstacle(values).empty();
  }

  /// Each weight once, without those that the loop over layers refuses.
  std::vector<Layer> usable_layers(const std::vector<Layer>& selected) const {
    std::vector<Layer> layers;
    std::set<std::pair<const Graph*, std::string>> seen;
    for (const Layer& layer : selected) {
      if (!seen.insert({&layer.weight.scope(), layer.weight.name()}).second) continue;
      try {
        const Tensor weight = editor_.read(layer);
        refuse_useless(weight, weight.to_float());
        layers.push_back(layer);
      } catch (const Unsupported&) {
        continue;
      }
    }
    return layers;
  }

  void cluster_together(const std::vector<Layer>& layers) {
    std::vector<std::vector<float>> parts;
    for (const Layer& layer : layers) parts.push_back(editor_.read(layer).to_float());
    const std::vector<std::span<const float>> views(parts.begin(), parts.end());
    int most = values_;
    for (const std::vector<float>& part : parts) most = std::max(most, codes(part, values_));
    if (!parts.empty()) common_ = numerics::cluster_values(views, {most, true, method_});
    common_.has_zero_code = true;
    if (common_.values.empty() || common_.values.front() != 0) {
      common_.values.insert(common_.values.begin(), 0.0F);
    }
  }

  bool has_scales(const Layer& layer) const {
    return scope_ == Scope::kChannel && layer.kind != LayerKind::kConvTranspose &&
           layer.weight_input == 1;
  }

  /// Error-compensated, on the layer's output.
  void fit_outputs(const Layer& layer, std::span<const LayerMoments> groups) {
    const LayerFit fit(layer, editor_.read(layer), groups);
    const std::vector<numerics::LayerProblem> problems = fit.problems();
    numerics::ObsLayer solver(
        problems, numerics::obs_options(fit.inputs(), fit.groups() * fit.outputs(), damping_));
    if (!solver.usable()) return;
    solver.keep_zeros();
    const std::vector<float> before = solver.weights();
    numerics::SharedGrid grid;
    const bool scaled = has_scales(layer);
    if (scaled) grid.scales = quantization::output_scales(before, fit.inputs(), fit.outputs());
    if (scope_ == Scope::kModel) {
      grid.values.assign(common_.values.begin() + 1, common_.values.end());
      grid.refit_values = false;
    } else {
      grid.values = quantization::codebook_values(before, solver.importance(), fit.outputs(),
                                                  grid.scales, values_);
    }
    if (grid.values.empty()) return;
    if (scaled) grid.whole_steps = kCodebookSteps;
    grid.refit_scales = scaled;
    grid = solver.round(grid);
    const std::vector<float> changed = solver.weights();
    Solution& solution = fitted_[analysis::layer_key(layer)];
    solution.bias_shift = fit.bias_shift(changed);
    if (scaled) {
      solution.integers = fit.quantized(changed, grid);
    } else {
      solution.weight = fit.weight(changed);
    }
    const double energy = solver.energy();
    solution.detail =
        fmt::format("output error {:.2g} %", energy > 0 ? 100 * solver.error() / energy : 0);
  }

  /// The codebook of least error of the weights.
  Solution fit_weights(const Layer& layer, const Tensor& weight, const std::vector<float>& before) const {
    Solution solution;
    if (has_scales(layer) && analysis::LayerMatrix::obstacle(layer).empty()) {
      return fit_scaled(layer, weight);
    }
    const numerics::Codebook codebook =
        scope_ == Scope::kModel ? common_
                                : numerics::cluster_values(before, {codes(before, values_), true, method_});
    const std::vector<float> after = nearest(before, codebook);
    double error = 0;
    for (size_t i = 0; i < after.size(); ++i) error += std::pow(before[i] - after[i], 2);
    solution.weight = Tensor::from(weight.shape(), after).cast(weight.type());
    solution.detail = describe_error(before, error);
    return solution;
  }

  /// As if all inputs were alike and independent.
  Solution fit_scaled(const Layer& layer, const Tensor& weight) const {
    LayerMoments plain;
    const analysis::LayerMatrix matrix(layer, weight.to_float());
    plain.inputs = matrix.inputs();
    plain.mean.assign(static_cast<size_t>(plain.inputs), 0.0);
    plain.gram.assign(static_cast<size_t>(plain.inputs * plain.inputs), 0.0);
    for (int64_t i = 0; i < plain.inputs; ++i) {
      plain.gram[static_cast<size_t>(i * (plain.inputs + 1))] = 1;
    }
    const std::vector<LayerMoments> groups(static_cast<size_t>(matrix.groups()), plain);
    ShareWeights copy(*this);
    copy.fitted_.clear();
    copy.fit_outputs(layer, groups);
    const auto found = copy.fitted_.find(analysis::layer_key(layer));
    if (found == copy.fitted_.end()) throw Unsupported("its weights are all zero");
    found->second.bias_shift.clear();
    return found->second;
  }

  void refuse_useless(const Tensor& weight, const std::vector<float>& values) const {
    if (std::string why = analysis::value_obstacle(values); !why.empty()) {
      throw Unsupported(std::move(why));
    }
    const analysis::WeightFigures figures = analysis::weight_figures(weight);
    if (figures.distinct == 0) return;
    const uint64_t distinct = figures.distinct - (figures.nonzeros < figures.count ? 1 : 0);
    if (distinct > static_cast<uint64_t>(values_)) return;
    throw Unsupported(fmt::format("it has {} distinct values besides zero already", distinct));
  }

  static std::string describe_error(const std::vector<float>& weights, double squared_error) {
    double signal = 0;
    for (const float w : weights) signal += static_cast<double>(w) * w;
    if (squared_error <= 0) return "no error";
    return fmt::format("{:.1f} dB", 10 * std::log10(signal / squared_error));
  }

  int values_ = 15;
  int bias_values_ = 0;
  Scope scope_ = Scope::kTensor;
  Fit fit_ = Fit::kAuto;
  double damping_ = 0.05;
  KMeansMethod method_ = KMeansMethod::kAuto;
  analysis::WeightEditor editor_;
  std::set<std::string> selected_;            ///< outputs of the layers that the step may change
  numerics::Codebook common_;                 ///< of scope: model
  std::map<analysis::LayerKey, Solution> fitted_;  ///< on outputs first
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(share_weights, ShareWeights)
