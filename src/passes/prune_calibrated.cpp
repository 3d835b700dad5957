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
// sparsegpt: one pass over the inputs instead of many over all weights, for layers of thousands of
// inputs (arXiv 2301.00774). wanda: |w| * |x| compared within each output, no update (arXiv
// 2306.11695). `codebook` and `bits` round in the loop of obs: to a codebook of the layer, or to
// integers with a scale per output that are stored as such. N:M keeps the N best of M consecutive input channels.
//
// sparsity: auto finds each layer's share of `budget`: its loss is solved for on some outputs at
// several sparsities (and, with codebook: auto, sizes of the codebook), weighed by what noise of that
// layer does to the model's outputs, and set against the bits of the smallest stored form. scope:
// global does the same with the number of weights that stay.
//
// inputs: compressed fits each layer on what the layers above it give once they are compressed, to the
// output that it had before, so that it makes up for their errors, too (cross moments: Li et al.,
// GPTAQ, arXiv 2504.02692).
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
#include "quantization/prune_layer.h"
#include "quantization/pruning.h"
#include "support/limit.h"
#include "support/units.h"

namespace mcompress::passes {
namespace {

using quantization::LayerFit;
using quantization::KeptOf;
using quantization::PruneMethod;
using quantization::PruningCurve;
using quantization::PruningTarget;

enum class Scope { kLocal, kGlobal };
enum class Inputs { kOriginal, kCompressed };
enum class MissingData { kFail, kSkip };

/// Part of a budget that is left for what the estimate misses.
constexpr double kReserve = 0.02;

std::optional<KeptOf> parse_n_of_m(const std::string& text) {
  const size_t at = text.find(':');
  if (text.size() > 9 || at == text.npos || at == 0 || at + 1 == text.size()) return std::nullopt;
  if (text.find_first_not_of("0123456789:") != text.npos) return std::nullopt;
  const KeptOf result{std::stoi(text.substr(0, at)), std::stoi(text.substr(at + 1))};
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
    o.add("method", method_, {{"obs", PruneMethod::kObs}, {"sparsegpt", PruneMethod::kSparseGpt}, {"wanda", PruneMethod::kWanda}},
          "Least squares with an update of what stays; the same in one pass, for huge layers; or "
          "scores alone");
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
    o.add("inputs", inputs_, {{"original", Inputs::kOriginal}, {"compressed", Inputs::kCompressed}},
          "Fit each layer on what it reads in the model as it was, or behind compressed layers, whose "
          "errors it then makes up for; that runs some samples twice a layer");
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
      if (method_ != PruneMethod::kObs || bits_ > 0) return "budget goes with method: obs and a codebook";
    }
    if (!codebook_ && budget_.empty()) return "codebook: auto goes with a budget";
    if (codebook_bits() > 0 && bits_ > 0) return "codebook and bits exclude each other";
    if (codebook_bits() == 1 || bits_ == 1) return "a single bit holds no value beside zero and a sign";
    if (method_ != PruneMethod::kObs && (codebook_bits() > 0 || bits_ > 0)) {
      return "only method: obs rounds; use it, or share-weights after this step";
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
    crosswise_ = quantization::crosswise_readers(selected);
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
    if (inputs_ == Inputs::kCompressed) {
      for (const Layer& layer : layers) in_order_.insert(layer.output);
      before_ = model.clone();
      return;
    }
    const auto reasons = context.calibration().moments(
        model, layers, [&](size_t i, std::span<const LayerMoments> groups) {
          try {
            solve(layers[i], LayerFit(layers[i], editor_.read(layers[i]), groups));
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
      if (n_of_m_ && crosswise_.count(layer.output) != 0) {
        context.note(quantization::crosswise_note(layer, *n_of_m_));
      }
      return false;
    }
    if (const auto why = refused_.find(layer.output); why != refused_.end()) {
      throw Unsupported(why->second);
    }
    if (in_order_.count(layer.output) != 0) solve_in_order(layer, context);
    const auto found = solutions_.find(layer.output);
    if (found == solutions_.end()) throw Unsupported("it shares its weight with a layer that is left alone");
    const quantization::PrunedLayer& solution = found->second;
    context.count("weights", layer.weight_count());
    context.count("zeros", solution.zeros);
    context.decided(layer, {.method = solution.method, .detail = solution.detail});
    if (n_of_m_) note_tail(layer, context);
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
    if (target_of(layer).values > 0) {
      analysis::record_constraint(model, value, ConstraintKind::kCodebook, info().name);
    }
    return changed || !solution.bias_shift.empty();
  }

 private:
  void note_tail(const Layer& layer, PassContext& context) const {
    const std::string text = quantization::tail_note(layer, *n_of_m_);
    if (!text.empty()) context.note(text);
  }

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
    if (channels >= n_of_m_->m) {
      const bool taps = layer.kind == LayerKind::kConv && layer.kernel > 1;
      const bool refused = method_ == PruneMethod::kSparseGpt && taps;
      return refused ? "method: sparsegpt knows N:M for kernels of one tap only" : "";
    }
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

  PruningTarget target_of(const Layer& layer) const {
    if (const auto known = targets_.find(layer.output); known != targets_.end()) return known->second;
    return {sparsity_.value_or(0.5), codebook_bits() > 0 ? (1 << codebook_bits()) - 1 : 0};
  }

  /// inputs: compressed.
  void solve_in_order(const Layer& layer, PassContext& context) {
    const quantization::PairedMoments pairs = quantization::paired_moments(
        *before_, layer.node.graph().model(), layer, context.calibration());
    LayerFit fit(layer, editor_.read(layer), pairs.changed);
    if (method_ != PruneMethod::kWanda) fit.aim_at_outputs_before(pairs, damping_);
    solve(layer, fit);
  }

  void solve(const Layer& layer, const LayerFit& fit) {
    const quantization::PruneRule rule{method_, n_of_m_, bits_, damping_};
    solutions_[layer.output] = quantization::prune_layer(layer, fit, target_of(layer), rule);
  }

  std::vector<int> codebook_sizes() const {
    if (!codebook_) return {3, 7, 15, 31};
    return {codebook_bits() > 0 ? (1 << codebook_bits()) - 1 : 0};
  }

  PruningCurve curve_of(const Layer& layer, std::span<const LayerMoments> groups) const {
    const LayerFit fit(layer, editor_.read(layer), groups);
    return quantization::pruning_curve(fit, layer.weight_count(), codebook_sizes(), damping_,
                                       budget_.empty() ? quantization::PruningCost::kWeights
                                                       : quantization::PruningCost::kStoredBits);
  }

  /// sparsity: auto.
  void choose_targets(Model& model, PassContext& context, std::vector<Layer>& layers) {
    std::vector<PruningCurve> curves(layers.size());
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
    std::erase_if(curves, [](const PruningCurve& c) { return c.options.empty(); });
    std::erase_if(layers, [&](const Layer& l) { return refused_.count(l.output) != 0; });
    if (layers.empty()) return;
    const auto noise = quantization::output_noise(model, context, layers);
    double own_bits = 0;
    std::vector<std::vector<numerics::BudgetOption>> units;
    for (size_t i = 0; i < layers.size(); ++i) {
      units.push_back(curves[i].options);
      const double weight = noise[i] > 0 ? noise[i] * curves[i].energy : 1;
      for (numerics::BudgetOption& option : units.back()) option.loss *= weight;
      own_bits += static_cast<double>(layers[i].weight_count()) *
                  static_cast<double>(data_type_bits(editor_.read(layers[i]).type()));
    }
    if (budget_.empty()) {
      const auto targets =
          quantization::share_out_sparsity(curves, units, sparsity_.value_or(0.5));
      for (size_t i = 0; i < layers.size(); ++i) targets_[layers[i].output] = targets[i];
      return;
    }
    const Limit limit = *parse_limit("size", budget_, nullptr);
    const auto file_bits = static_cast<double>(model.file_size()) * 8;
    const double total =
        (limit.unit == Limit::Unit::kBytes ? limit.value * 8 : limit.value * file_bits) * (1 - kReserve);
    if (total >= file_bits) {
      context.warn(fmt::format("budget {} is more than the model takes, {}: nothing is pruned for it",
                               budget_, format_bytes(model.file_size())));
    }
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

  std::optional<double> sparsity_;
  Scope scope_ = Scope::kLocal;
  std::string budget_;
  std::string pattern_ = "unstructured";
  PruneMethod method_ = PruneMethod::kObs;
  MissingData missing_data_ = MissingData::kFail;
  std::optional<double> codebook_ = 0;
  int bits_ = 0;
  Inputs inputs_ = Inputs::kCompressed;
  double damping_ = 0.05;

  std::optional<KeptOf> n_of_m_;
  analysis::WeightEditor editor_;
  std::set<std::string> crosswise_;
  std::optional<Model> before_;
  std::set<std::string> in_order_;  ///< outputs of layers that are solved when their turn comes
  std::map<std::string, std::string> refused_;  ///< by output, with the reason
  std::map<std::string, PruningTarget> targets_;
  std::map<std::string, quantization::PrunedLayer> solutions_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(prune_calibrated, PruneCalibrated)
