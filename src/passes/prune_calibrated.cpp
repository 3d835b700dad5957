// SPDX-License-Identifier: Apache-2.0
//
// Prunes the weights that the layer's output misses least, and lets those that stay make up for it.
//
//   Before:  y = Gemm(x, W, b)    W: 784 x 300 floats
//   After:   y = Gemm(x, W', b')  W': four in five are zero, chosen and refitted by X^T X over the
//            calibration data; with `codebook: 3`, those that stay take one of 7 values
//
// obs: least squares over zeros and values together, one weight after the other at its best value
// given all others (numerics/obs_solver.h); the bias takes up what the mean of the output loses.
// wanda: |w| * |x| compared within each output, no update (arXiv 2306.11695). `codebook` and `bits`
// round in the same loop: to a codebook of the layer, or to integers with a scale per output that
// are stored as such. N:M keeps the N best of M consecutive input channels.
//
// sparsity: auto finds each layer's share of `budget`: its loss is solved for on some outputs at
// several sparsities (and, with codebook: auto, sizes of the codebook), weighed by what noise of that
// layer does to the model's outputs, and set against the bits of the smallest stored form. scope:
// global does the same with the number of weights that stay.
//
// Refuses: quantized weights, weights that unselected nodes read too, layers that are no matrix
// (embeddings, recurrent, stacks), values in subgraphs, NaN, N:M with fewer than M channels.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "analysis/weight_editor.h"
#include "mcompress/pass_context.h"
#include "numerics/obs_budget.h"
#include "pass/register.h"
#include "quantization/layer_fit.h"
#include "quantization/output_noise.h"
#include "support/limit.h"

namespace mcompress::passes {
namespace {

using numerics::Mask;
using numerics::ObsLayer;
using quantization::LayerFit;

enum class Method { kObs, kWanda };
enum class Scope { kLocal, kGlobal };
enum class MissingData { kFail, kSkip };

/// What a layer is compressed to.
struct Target {
  double sparsity = 0;
  int values = 0;  ///< of a codebook; 0: any
};

struct NofM {
  int n = 0, m = 0;
};

constexpr double kSteps[] = {0,    0.2, 0.35, 0.5,  0.6,  0.7,  0.75,
                             0.8, 0.85, 0.9,  0.93, 0.95, 0.97, 0.98};
/// Bytes that nodes and names of an encoded weight take.
constexpr double kFormBits = 8 * 350;
/// Part of a budget that is left for what the estimate misses.
constexpr double kReserve = 0.02;

std::optional<NofM> parse_n_of_m(const std::string& text) {
  const size_t at = text.find(':');
  if (text.size() > 9 || at == text.npos || at == 0 || at + 1 == text.size()) return std::nullopt;
  if (text.find_first_not_of("0123456789:") != text.npos) return std::nullopt;
  const NofM result{std::stoi(text.substr(0, at)), std::stoi(text.substr(at + 1))};
  if (result.n < 1 || result.n >= result.m) return std::nullopt;
  return result;
}

class PruneCalibrated : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "prune-calibrated",
        .summary = "prune the weights that outputs miss least, refit the others, round them jointly",
        .fidelity = Fidelity::kLossy,
        .needs = {.runtime = true, .calibration = true},
        .idempotent = false,
        .cost = "accuracy: little up to four weights in five; minutes for very large layers",
        .benefit = "10 to 20 times smaller files without training, once encoded",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("sparsity", sparsity_,
          "Part of the weights that becomes zero; auto: each layer's own by budget, else 0.5",
          {"auto"})
        .range(0, 1);
    o.add("scope", scope_, {{"local", Scope::kLocal}, {"global", Scope::kGlobal}},
          "That part of each layer, or of all layers together, shared out by what each would lose");
    o.add("budget", budget_, "Size of the file that sparsity: auto shares out: 80 kB, or 10 %");
    o.add("pattern", pattern_, "unstructured, or N:M such as 2:4, which says the sparsity");
    o.add("method", method_, {{"obs", Method::kObs}, {"wanda", Method::kWanda}},
          "Least squares with an update of what stays, or scores alone");
    o.add("codebook", codebook_,
          "Bits of a codebook that values are rounded to in the same loop, zero included; 0: none; "
          "auto, with sparsity: auto: 2 to 5 by layer",
          {"auto"})
        .range(0, 8);
    o.add("bits", bits_,
          "Bits of the integers that values are rounded to in the same loop, one scale an output; "
          "0: none")
        .range(0, 8);
    o.add("missing-data", missing_data_,
          {{"fail", MissingData::kFail}, {"skip", MissingData::kSkip}},
          "Without calibration data: an error, or leave the step out and say so");
    o.add("damping", damping_, "Added to the diagonal of X^T X, as a part of its mean").range(0, 1);
  }
  bool skips_without_data() const override { return missing_data_ == MissingData::kSkip; }
  std::string check_options() const override {
    const bool n_of_m = pattern_ != "unstructured";
    if (n_of_m && !parse_n_of_m(pattern_)) {
      return "pattern '" + pattern_ + "' is none of unstructured and N:M (2:4)";
    }
    if (n_of_m && sparsity_) return "pattern " + pattern_ + " says the sparsity; leave sparsity out";
    if (scope_ == Scope::kGlobal && (n_of_m || !budget_.empty())) {
      return "scope: global shares out a sparsity; leave it out with a pattern or a budget";
    }
    if (!budget_.empty()) {
      std::string problem;
      if (sparsity_ || n_of_m) return "budget is for sparsity: auto";
      if (!parse_limit("size", budget_, &problem)) return problem;
      if (method_ == Method::kWanda || bits_ > 0) return "budget goes with method: obs and a codebook";
    }
    if (!codebook_ && budget_.empty()) return "codebook: auto goes with a budget";
    if (codebook_bits() > 0 && bits_ > 0) return "codebook and bits exclude each other";
    if (codebook_bits() == 1 || bits_ == 1) return "a single bit holds no value beside zero and a sign";
    if (method_ == Method::kWanda && (codebook_bits() > 0 || bits_ > 0)) {
      return "method: wanda does not round; use obs, or share-weights after it";
    }
    return "";
  }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    if (!context.has_calibration() && skips_without_data()) {
      context.warn("left out: there is no calibration data; give some with --data calibration=FILE");
      selected.clear();
      return;
    }
    editor_ = analysis::WeightEditor(selected);
    n_of_m_ = parse_n_of_m(pattern_);
    std::vector<Layer> layers;
    std::set<std::pair<const Graph*, std::string>> seen;
    for (const Layer& layer : selected) {
      if (!seen.insert({&layer.weight.scope(), layer.weight.name()}).second) continue;
      const std::string why = obstacle(layer);
      if (why.empty()) {
        layers.push_back(layer);
      } else {
        refused_[layer.output] = why;
      }
    }
    if (!budget_.empty() || scope_ == Scope::kGlobal) choose_targets(model, context, layers);
    const auto reasons = context.calibration().moments(
        model, layers, [&](size_t i, std::span<const LayerMoments> groups) {
          try {
            solve(layers[i], groups);
          } catch (const Unsupported& refusal) {
            refused_[layers[i].output] = refusal.reason();
          }
        });
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!reasons[i].empty()) refused_[layers[i].output] = reasons[i];
    }
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    if (editor_.is_done(layer)) {
      context.decided(layer,
                      {.method = "pruned", .detail = "shares its weight with a layer above"});
      return false;
    }
    if (const auto why = refused_.find(layer.output); why != refused_.end()) {
      throw Unsupported(why->second);
    }
    const auto found = solutions_.find(layer.output);
    if (found == solutions_.end()) throw Unsupported("it shares its weight with a layer that is left alone");
    const Solution& solution = found->second;
    context.count("weights", layer.weight_count());
    context.count("zeros", solution.zeros);
    context.decided(layer, {.method = solution.method, .detail = solution.detail});
    quantization::shift_bias(layer, solution.bias_shift);
    editor_.set_done(layer);
    if (solution.integers) {
      quantization::store_scaled(layer, *solution.integers);
      return true;
    }
    const bool changed = !(solution.weight == editor_.read(layer));
    ValueRef value = layer.weight;
    if (changed) value = editor_.write(layer, solution.weight);
    Model& model = layer.node.graph().model();
    analysis::record_constraint(model, value, ConstraintKind::kMask, info().name);
    if (solution.values > 0) {
      analysis::record_constraint(model, value, ConstraintKind::kCodebook, info().name);
    }
    return changed || !solution.bias_shift.empty();
  }

 private:
  struct Solution {
    Tensor weight;
    std::optional<forms::QuantizedWeight> integers;
    std::vector<float> bias_shift;
    int64_t zeros = 0;
    int values = 0;
    std::string method, detail;
  };
  /// One option of the budget and what it is.
  struct Curve {
    std::vector<numerics::BudgetOption> options;
    std::vector<Target> targets;
  };

  int codebook_bits() const { return static_cast<int>(codebook_.value_or(0)); }

  std::string obstacle(const Layer& layer) const {
    if (std::string why = editor_.obstacle(layer); !why.empty()) return why;
    if (std::string why = analysis::LayerMatrix::obstacle(layer); !why.empty()) return why;
    if (is_done_already(layer)) return "an earlier step pruned it as far or rounded it";
    const bool transposed = layer.kind == LayerKind::kConvTranspose;
    if (bits_ > 0 && transposed) return "integers have one scale an output, and it shares outputs";
    if (bits_ > 0 && editor_.read(layer).type() != DataType::kFloat) return "its weight is not float";
    if (!n_of_m_) return "";
    if (transposed && layer.groups > 1) return "N:M is for one matrix, and its weight is several";
    const int64_t channels = layer.inputs / layer.groups;
    if (channels >= n_of_m_->m) return "";
    return fmt::format("pattern {} needs {} input channels, it has {}", pattern_, n_of_m_->m, channels);
  }

  /// Steps of a ladder: the first that held has done it.
  bool is_done_already(const Layer& layer) const {
    const auto& constraints = layer.node.graph().model().state().constraints;
    const auto [first, last] = constraints.equal_range(layer.weight.name());
    bool pruned = false;
    for (auto it = first; it != last; ++it) {
      if (it->second.pass != info().name) continue;
      if (it->second.kind == ConstraintKind::kCodebook) return true;
      pruned = true;
    }
    if (!pruned || n_of_m_ || codebook_bits() > 0 || !codebook_ || bits_ > 0) return false;
    const std::vector<float> weight = editor_.read(layer).to_float();
    const int64_t zeros = numerics::count_zeros(weight);
    return budget_.empty() && zeros >= numerics::prune_count(layer.weight_count(), sparsity_.value_or(0.5));
  }

  Target target_of(const Layer& layer) const {
    if (const auto known = targets_.find(layer.output); known != targets_.end()) return known->second;
    return {sparsity_.value_or(0.5), codebook_bits() > 0 ? (1 << codebook_bits()) - 1 : 0};
  }

  numerics::MaskRule mask_rule(const Layer& layer, const LayerFit& fit, double sparsity) const {
    if (!n_of_m_) return numerics::sparsity_rule(cap(layer.weight_count(), sparsity));
    const int64_t taps = layer.kind == LayerKind::kConv ? layer.kernel : 1;
    return numerics::n_of_m_rule(fit.inputs(), fit.outputs(), taps, n_of_m_->n, n_of_m_->m);
  }

  /// No layer loses all its weights.
  static double cap(int64_t count, double sparsity) {
    return std::min(sparsity, (static_cast<double>(count) - 1) / static_cast<double>(count));
  }

  void solve(const Layer& layer, std::span<const LayerMoments> groups) {
    const LayerFit fit(layer, editor_.read(layer), groups);
    const Target target = target_of(layer);
    Solution solution;
    solution.values = target.values;
    std::vector<float> changed = method_ == Method::kObs ? solve_obs(layer, fit, target, solution)
                                                         : solve_wanda(layer, fit, target, solution);
    solution.zeros = numerics::count_zeros(changed);
    solution.bias_shift = fit.bias_shift(changed);
    const std::string pattern = n_of_m_ ? pattern_ : fmt::format("{:.3g} %", 100 * target.sparsity);
    solution.method = "pruned " + pattern;
    if (target.values > 0) solution.method += fmt::format(", {} values", target.values);
    if (bits_ > 0) solution.method += fmt::format(", {} bits", bits_);
    solution.detail = fmt::format("{} of {} weights are zero, {}", solution.zeros, changed.size(),
                                  solution.detail);
    if (!solution.integers) solution.weight = fit.weight(changed);
    solutions_[layer.output] = std::move(solution);
  }

  std::vector<float> solve_obs(const Layer& layer, const LayerFit& fit, const Target& target,
                               Solution& solution) const {
    const std::vector<numerics::LayerProblem> problems = fit.problems();
    ObsLayer solver(problems, numerics::obs_options(fit.inputs(), fit.groups() * fit.outputs(), damping_));
    if (!solver.usable()) throw Unsupported("its inputs are not finite");
    if (n_of_m_ || target.sparsity > 0) solver.prune(mask_rule(layer, fit, target.sparsity));
    std::vector<float> changed = solver.weights();
    numerics::SharedGrid grid;
    if (bits_ > 0) {
      const int limit = (1 << (bits_ - 1)) - 1;
      grid.scales = quantization::integer_scales(changed, solver.importance(), fit.inputs(),
                                                 fit.outputs(), limit);
      for (int v = -limit; v <= limit; ++v) {
        if (v != 0) grid.values.push_back(static_cast<float>(v));
      }
      grid.refit_values = false;
      grid.refit_scales = true;
    } else if (target.values > 0) {
      grid.values = quantization::codebook_values(changed, solver.importance(), fit.outputs(), {},
                                                  target.values);
    }
    if (!grid.values.empty()) {
      grid = solver.round(grid);
      changed = solver.weights();
      if (bits_ > 0) solution.integers = fit.quantized(changed, grid);
    }
    const double energy = solver.energy();
    solution.detail = fmt::format("output error {:.2g} %", energy > 0 ? 100 * solver.error() / energy : 0);
    return changed;
  }

  std::vector<float> solve_wanda(const Layer& layer, const LayerFit& fit, const Target& target,
                                 Solution& solution) const {
    std::vector<float> changed;
    std::vector<float> scores;
    for (const numerics::LayerProblem& p : fit.problems()) {
      changed.insert(changed.end(), p.weights.begin(), p.weights.end());
      for (size_t at = 0; at < p.weights.size(); ++at) {
        const auto i = static_cast<int64_t>(at) / p.outputs;
        const double size = std::sqrt(std::max(0.0, p.gram[static_cast<size_t>(i * (p.inputs + 1))]));
        scores.push_back(static_cast<float>(std::abs(p.weights[at]) * size));
      }
    }
    const Mask mask = n_of_m_ ? mask_rule(layer, fit, 0)(scores)
                              : lowest_of_outputs(scores, fit, target.sparsity);
    numerics::apply_mask(mask, changed);
    solution.detail = "scores of each output compared";
    return changed;
  }

  /// The same part of every output.
  static Mask lowest_of_outputs(const std::vector<float>& scores, const LayerFit& fit, double sparsity) {
    Mask mask(scores.size(), 1);
    const auto inputs = static_cast<size_t>(fit.inputs()), outputs = static_cast<size_t>(fit.outputs());
    const int64_t prune = numerics::prune_count(fit.inputs(), cap(fit.inputs(), sparsity));
    std::vector<float> column(inputs);
    for (size_t start = 0; start < scores.size(); start += inputs * outputs) {
      for (size_t j = 0; j < outputs; ++j) {
        for (size_t i = 0; i < inputs; ++i) column[i] = scores[start + i * outputs + j];
        const numerics::ScoredLayer one{column};
        const Mask kept = numerics::prune_lowest({&one, 1}, prune)[0];
        for (size_t i = 0; i < inputs; ++i) mask[start + i * outputs + j] = kept[i];
      }
    }
    return mask;
  }

  std::vector<int> codebook_sizes() const {
    if (!codebook_) return {3, 7, 15, 31};
    return {codebook_bits() > 0 ? (1 << codebook_bits()) - 1 : 0};
  }

  /// Loss and stored bits of a layer at each step, solved on a sample of its outputs.
  Curve curve_of(const Layer& layer, std::span<const LayerMoments> groups) const {
    const LayerFit fit(layer, editor_.read(layer), groups);
    const double scale = 1024.0 / static_cast<double>(std::max<int64_t>(fit.inputs(), 1));
    const auto most = static_cast<int64_t>(std::clamp(64 * scale * scale, 8.0, 128.0));
    const LayerFit::Sample sample = fit.sample(most);
    ObsLayer solver(sample.problems, {damping_, 12, 2, 3});
    if (!solver.usable()) throw Unsupported("its inputs are not finite");
    const double energy = solver.energy();
    const int64_t outputs = sample.problems.front().outputs;
    Curve curve;
    for (const double sparsity : kSteps) {
      const double s = cap(layer.weight_count(), sparsity);
      if (s > 0) solver.prune(numerics::sparsity_rule(s));
      for (const int values : codebook_sizes()) {
        ObsLayer rounded = solver;
        if (values > 0) {
          numerics::SharedGrid grid;
          grid.values = quantization::codebook_values(rounded.weights(), rounded.importance(),
                                                      outputs, {}, values);
          rounded.round(grid);
        }
        const double density = 1 - s;
        const double bits = numerics::stored_bits(layer.weight_count(), density, values) + kFormBits +
                            32.0 * values;
        const double cost = budget_.empty() ? density * static_cast<double>(layer.weight_count()) : bits;
        curve.options.push_back({cost, energy > 0 ? rounded.error() / energy : 0});
        curve.targets.push_back({s, values});
      }
    }
    return curve;
  }

  /// sparsity: auto.
  void choose_targets(Model& model, PassContext& context, std::vector<Layer>& layers) {
    std::vector<Curve> curves(layers.size());
    const auto reasons = context.calibration().moments(
        model, layers, [&](size_t i, std::span<const LayerMoments> groups) {
          try {
            curves[i] = curve_of(layers[i], groups);
          } catch (const Unsupported& refusal) {
            refused_[layers[i].output] = refusal.reason();
          }
        });
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!reasons[i].empty()) refused_[layers[i].output] = reasons[i];
    }
    std::erase_if(curves, [](const Curve& c) { return c.options.empty(); });
    std::erase_if(layers, [&](const Layer& l) { return refused_.count(l.output) != 0; });
    if (layers.empty()) return;
    const std::vector<double> weights = quantization::output_noise(model, context, layers);
    double own_bits = 0;
    std::vector<std::vector<numerics::BudgetOption>> units;
    for (size_t i = 0; i < layers.size(); ++i) {
      units.push_back(curves[i].options);
      for (numerics::BudgetOption& option : units.back()) option.loss *= weights[i];
      own_bits += static_cast<double>(layers[i].weight_count()) *
                  static_cast<double>(data_type_bits(editor_.read(layers[i]).type()));
    }
    if (budget_.empty()) return share_out_sparsity(layers, curves, units);
    const Limit limit = *parse_limit("size", budget_, nullptr);
    const auto file_bits = static_cast<double>(model.file_size()) * 8;
    const double total =
        (limit.unit == Limit::Unit::kBytes ? limit.value * 8 : limit.value * file_bits) * (1 - kReserve);
    const double rest = std::max(0.0, file_bits - own_bits);
    const std::vector<size_t> chosen = numerics::allocate_budget(units, total - rest);
    double spent = rest;
    for (size_t i = 0; i < layers.size(); ++i) {
      targets_[layers[i].output] = curves[i].targets[chosen[i]];
      spent += curves[i].options[chosen[i]].cost;
    }
    if (spent > total) {
      context.warn(fmt::format("budget {} cannot be reached: {:.0f} bytes are the least here", budget_,
                               spent / 8));
    }
  }

  /// scope: global. Steps are coarse: what the choice leaves of the allowed weights goes to the layers
  /// that are pruned, in proportion.
  void share_out_sparsity(const std::vector<Layer>& layers, const std::vector<Curve>& curves,
                          const std::vector<std::vector<numerics::BudgetOption>>& units) {
    double all = 0;
    for (const Layer& layer : layers) all += static_cast<double>(layer.weight_count());
    const double allowed = all * (1 - sparsity_.value_or(0.5));
    const std::vector<size_t> chosen = numerics::allocate_budget(units, allowed);
    double dense = 0, pruned = 0;
    for (size_t i = 0; i < layers.size(); ++i) {
      const Target& target = targets_[layers[i].output] = curves[i].targets[chosen[i]];
      (target.sparsity > 0 ? pruned : dense) += units[i][chosen[i]].cost;
    }
    if (!(pruned > 0)) return;
    for (const Layer& layer : layers) {
      Target& target = targets_[layer.output];
      if (target.sparsity == 0) continue;
      target.sparsity = std::max(0.0, 1 - (1 - target.sparsity) * (allowed - dense) / pruned);
    }
  }

  std::optional<double> sparsity_;
  Scope scope_ = Scope::kLocal;
  std::string budget_;
  std::string pattern_ = "unstructured";
  Method method_ = Method::kObs;
  MissingData missing_data_ = MissingData::kFail;
  std::optional<double> codebook_ = 0;
  int bits_ = 0;
  double damping_ = 0.05;

  std::optional<NofM> n_of_m_;
  analysis::WeightEditor editor_;
  std::map<std::string, std::string> refused_;  ///< by output, with the reason
  std::map<std::string, Target> targets_;
  std::map<std::string, Solution> solutions_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(prune_calibrated, PruneCalibrated)
