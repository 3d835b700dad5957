// SPDX-License-Identifier: Apache-2.0
//
// Replaces a weight by a product of thinner ones.
//
//   Before:  y = MatMul(x, W)                       W: [K, N]
//   After:   y = MatMul(MatMul(x, L), R)            L: [K, r], R: [r, N],  r (K + N) < K N
//   Before:  y = Gather(W, i)                       After:  y = MatMul(Gather(L, i), R)
//   Before:  y = Conv(x, W, b)                      W: [Cout, Cin, k, k]
//   After:   channel  Conv(Conv(x, [r, Cin, k, k]), [Cout, r, 1, 1], b)
//            spatial  Conv(Conv(x, [r, Cin, k, 1]), [Cout, r, 1, k], b)
//            tucker   Conv(Conv(Conv(x, [s, Cin, 1, 1]), [r, s, k, k]), [Cout, r, 1, 1], b)
//
// With calibration data the outputs change least, not the weights: |X (W - L R)| is least for the
// singular value decomposition of S W with S^T S = X^T X (SVD-LLM, arXiv 2403.07378, through
// eigenvectors and without an inverse), and its singular values are the layer's true loss curve;
// where the layer has a bias, it takes up the mean, so that X is centred first. Without data the
// weights change least (Eckart and Young). Tucker-2 by HOOI.
//
// inputs: compressed fits each layer, in order, on what the layers above it give once they are
// factorized, to the output that it had before: the target is then the W of least error there, and
// the last factor of a chain for windows is refitted to all taps.
//
// The rank is fixed, the least that keeps an `energy`, the greatest within a `ratio` of the
// parameters, or shared out over all layers within a `budget`, by what factors of each layer do to
// the model's outputs, where a layer may stay dense as well; all but the first in multiples that
// kernels like, of which a budget knows finer ones for narrow layers. The node itself becomes the last factor:
// bias, alpha and beta stay where they are. Layers that share a weight share the factors.
//
// Factors of an earlier step, or of whoever made the model, are left as they are and count toward the
// budget as the weight that they stand for: a second step finds what the first left dense.
//
// Refuses: factors that are not smaller (goal size) or not predicted to be faster (goal latency),
// weights with more zeros than factors save, groups, ConvTranspose, recurrent layers, stacks of
// matrices, quantized weights, weights that other nodes read too, zeros only, NaN.
#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "analysis/cost.h"
#include "analysis/factor_chain.h"
#include "analysis/layer_matrix.h"
#include "analysis/weight_editor.h"
#include "mcompress/pass_context.h"
#include "numerics/low_rank.h"
#include "pass/register.h"
#include "quantization/costs.h"
#include "quantization/factor_budget.h"
#include "quantization/factor_choice.h"
#include "quantization/layer_fit.h"
#include "quantization/paired_moments.h"

namespace mcompress::passes {
namespace {

using numerics::Factor;
using numerics::FactorPoint;
using quantization::Convolution;
using quantization::FactorProblem;

enum class Goal { kSize, kLatency };
enum class Fit { kAuto, kWeights, kOutputs };
enum class Inputs { kOriginal, kCompressed };

/// Predicted times that differ less are equal.
constexpr double kFaster = 0.97;

class FactorizeWeights : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "factorize-weights",
        .summary = "replace weights by products of thinner ones (SVD, Tucker)",
        .fidelity = Fidelity::kLossy,
        .cost = "accuracy, depending on the spectrum of each weight; less with calibration data",
        .benefit = "size and latency fall with the number of parameters",
    };
    return info;
  }
  void describe(OptionSet& o) override;
  std::string check_options() const override {
    const int given = (ranks_.rank ? 1 : 0) + (ranks_.ratio ? 1 : 0) + (ranks_.energy ? 1 : 0) +
                      (ranks_.budget ? 1 : 0);
    if (given > 1) return "rank, ratio, energy and budget exclude each other; give one";
    if (ranks_.rank && *ranks_.rank != std::floor(*ranks_.rank))
      return "rank is not a whole number";
    return "";
  }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override;
  bool run_on_layer(Layer& layer, PassContext& context) override;

 private:
  /// A weight, and the axis of its outputs.
  using Key = std::tuple<const Graph*, std::string, int>;
  static Key key_of(const Layer& layer) {
    return {&layer.weight.scope(), layer.weight.name(), layer.output_axis};
  }

  int64_t multiple(const PassContext& context) const {
    return multiple_ > 0 ? multiple_ : context.target().channel_multiple();
  }
  void find_factors(Model& model);
  bool is_factor(const Layer& layer) const { return factors_.contains(layer.output); }
  void collect_moments(Model& model, PassContext& context);
  void share_out(const Model& model, PassContext& context);
  std::string why_not(const FactorProblem& problem, const FactorPoint& point,
                      const PassContext& context) const;
  bool is_faster(const FactorProblem& problem, std::span<const Factor> factors,
                 const PassContext& context) const;
  void store(FactorProblem& problem, PassContext& context) const;

  quantization::RankOptions ranks_;
  int multiple_ = 0;
  Goal goal_ = Goal::kSize;
  Fit fit_ = Fit::kAuto;
  Inputs inputs_ = Inputs::kCompressed;
  double damping_ = 0.01;
  analysis::WeightEditor editor_;
  std::deque<FactorProblem> problems_;  ///< in order of the layers
  std::map<Key, size_t> index_;
  std::optional<Model> before_;  ///< where layers are fitted behind compressed ones
  std::set<std::string> factors_;  ///< outputs of layers that are factors already
  double factored_ = 0;  ///< their parameters, and those of the weights that they stand for
  double products_ = 0;
};

void FactorizeWeights::describe(OptionSet& o) {
  o.add("rank", ranks_.rank, "Rank of every layer", {"auto"}).at_least(1);
  o.add("ratio", ranks_.ratio, "Most parameters that the factors have, as part of the weight's",
        {"auto"})
      .greater_than(0)
      .range(0, 1);
  o.add("energy", ranks_.energy,
        "Part of the squared singular values that is kept; 0.95 where none of the four is given",
        {"auto"})
      .greater_than(0)
      .range(0, 1);
  o.add("budget", ranks_.budget,
        "Part of the parameters that all layers keep together, shared out where it is worth most",
        {"auto"})
      .greater_than(0)
      .range(0, 1);
  o.add(
       "multiple", multiple_,
       "Ranks by ratio, energy and budget are multiples of this; 0: what the target's kernels like, "
       "and finer by budget where layers are narrow")
      .at_least(0);
  o.add("convolution", ranks_.convolution,
        {{"auto", Convolution::kAuto},
         {"channel", Convolution::kChannel},
         {"spatial", Convolution::kSpatial},
         {"tucker", Convolution::kTucker}},
        "Factors of a Conv; auto: those that lose least, at half the parameters where no rank is "
        "given");
  o.add("goal", goal_, {{"size", Goal::kSize}, {"latency", Goal::kLatency}},
        "A layer is factorized where that makes it smaller; or only where it is faster, too");
  o.add("fit", fit_, {{"auto", Fit::kAuto}, {"weights", Fit::kWeights}, {"outputs", Fit::kOutputs}},
        "Least error of the weights, or of the outputs on calibration data; auto: outputs where "
        "there is data");
  o.add("inputs", inputs_, {{"original", Inputs::kOriginal}, {"compressed", Inputs::kCompressed}},
        "Fit outputs on what each layer reads in the model as it was, or behind compressed layers, "
        "whose errors it then makes up for; that runs some samples twice a layer");
  o.add("damping", damping_,
        "How firmly a layer behind compressed ones holds on to its own weight, as a part of the mean "
        "of X^T X")
      .range(0, 1);
}

void FactorizeWeights::prepare(Model& model, PassContext& context, std::vector<Layer>& selected) {
  find_factors(model);
  std::vector<Layer> possible;
  for (const Layer& layer : selected) {
    if (is_factor(layer)) continue;
    if (analysis::factor_obstacle(layer, model.opset()).empty()) possible.push_back(layer);
  }
  editor_ = analysis::WeightEditor(possible);
  for (const Layer& layer : possible) {
    if (!editor_.obstacle(layer).empty()) continue;
    const auto [known, is_new] = index_.emplace(key_of(layer), problems_.size());
    if (!is_new) {
      problems_[known->second].is_shared = true;
      continue;
    }
    problems_.push_back(quantization::make_factor_problem(layer, editor_.read(layer)));
  }
  if (goal_ == Goal::kLatency && context.has_runtime()) {
    const ValueTypes types = context.sample_types(model);
    for (FactorProblem& problem : problems_) {
      problem.rows = static_cast<int64_t>(analysis::node_macs(problem.layer.node, types)) /
                     std::max<int64_t>(problem.layer.weight_count(), 1);
    }
  }
  if (fit_ == Fit::kOutputs || (fit_ == Fit::kAuto && context.has_calibration())) {
    collect_moments(model, context);
  }
  for (FactorProblem& problem : problems_) {
    if (!problem.obstacle.empty() || problem.solution) continue;
    quantization::solve(problem, {}, ranks_, multiple(context));
  }
  if (ranks_.budget) share_out(model, context);
  if (inputs_ == Inputs::kCompressed && context.has_calibration()) before_ = model.clone();
}

void FactorizeWeights::find_factors(Model& model) {
  std::set<Key> seen;
  for (const analysis::FactorChain& chain : analysis::find_factor_chains(find_layers(model))) {
    for (const Layer& layer : chain) factors_.insert(layer.output);
    if (!seen.insert(key_of(chain.front())).second) continue;  // layers that share their factors
    factored_ += static_cast<double>(analysis::factor_parameters(chain));
    products_ += static_cast<double>(analysis::product_parameters(chain));
  }
}

void FactorizeWeights::collect_moments(Model& model, PassContext& context) {
  std::vector<Layer> layers;
  std::vector<FactorProblem*> problems;
  for (FactorProblem& problem : problems_) {
    if (!problem.obstacle.empty() || problem.layer.kind == LayerKind::kEmbedding) continue;
    if (!analysis::LayerMatrix::obstacle(problem.layer).empty()) continue;
    layers.push_back(problem.layer);
    problems.push_back(&problem);
  }
  // A layer without moments is left to its weights.
  context.calibration().moments(model, layers, [&](size_t i, std::span<const LayerMoments> groups) {
    quantization::solve(*problems[i], groups, ranks_, multiple(context));
  });
}

/// Ranks of all layers within the budget, of which factors that were there before take a part.
void FactorizeWeights::share_out(const Model& model, PassContext& context) {
  std::vector<FactorProblem*> problems;
  double all = products_, budget = *ranks_.budget * products_ - factored_;
  for (FactorProblem& problem : problems_) {
    const auto dense = static_cast<double>(problem.kernel.size());
    all += dense;
    budget += *ranks_.budget * dense;
    if (problem.obstacle.empty()) {
      problems.push_back(&problem);
    } else {
      budget -= dense;
    }
  }
  const auto allowed = [&](const FactorProblem& problem, const FactorPoint& point) {
    return why_not(problem, point, context).empty();
  };
  quantization::measure_curves(model, context, problems);
  const double least =
      quantization::share_out(problems, budget, {multiple(context), multiple_ > 0, allowed});
  if (least > budget) {
    context.warn(fmt::format("budget {} cannot be reached: {:.2f} of the parameters is the least here",
                             *ranks_.budget, *ranks_.budget + (least - budget) / all));
  }
}

bool FactorizeWeights::is_faster(const FactorProblem& problem, std::span<const Factor> factors,
                                 const PassContext& context) const {
  // Both from one source: there are no measurements of factors that nobody has chosen yet.
  const quantization::CostModel costs(context.target());
  double time = 0;
  for (const Factor& factor : factors) {
    time += costs.layer(forms::LayerForm::kFloat, analysis::layer_of_factor(problem.layer, factor),
                        problem.rows);
  }
  return time < kFaster * costs.layer(forms::LayerForm::kFloat, problem.layer, problem.rows);
}

std::string FactorizeWeights::why_not(const FactorProblem& problem, const FactorPoint& point,
                                      const PassContext& context) const {
  std::string why = quantization::why_not_smaller(problem, point, ranks_);
  if (!why.empty()) return why;
  if (goal_ == Goal::kLatency && problem.rows > 0 &&
      !is_faster(problem, problem.solution->outline(point), context)) {
    return fmt::format("factors of rank {} are not predicted to be faster", point.rank);
  }
  return "";
}

void FactorizeWeights::store(FactorProblem& problem, PassContext& context) const {
  const Layer& layer = problem.layer;
  const FactorPoint& point = *problem.chosen;
  if (before_ && !problem.moments.empty() && !problem.is_shared) {
    const quantization::PairedMoments pairs = quantization::paired_moments(
        *before_, layer.node.graph().model(), layer, context.calibration());
    quantization::LayerFit fit(layer, editor_.read(layer), pairs.changed);
    fit.aim_at_outputs_before(pairs, damping_);
    quantization::fit_factors(problem, fit);
  } else {
    quantization::fit_factors(problem);
  }
  context.count("parameters before", static_cast<int64_t>(problem.kernel.size()));
  context.count("parameters after", point.parameters);
  problem.constants = analysis::store_factors(layer, problem.factors, problem.type);
  problem.how = quantization::describe_factors(problem);
  problem.solution.reset();
}

bool FactorizeWeights::run_on_layer(Layer& layer, PassContext& context) {
  Model& model = layer.node.graph().model();
  if (std::string why = analysis::factor_obstacle(layer, model.opset()); !why.empty()) {
    throw Unsupported(std::move(why));
  }
  if (is_factor(layer)) throw Unsupported("it is a factor of a product already");
  if (std::string why = editor_.obstacle(layer); !why.empty()) throw Unsupported(std::move(why));
  FactorProblem& problem = problems_[index_.at(key_of(layer))];
  if (!problem.obstacle.empty()) throw Unsupported(problem.obstacle);
  if (problem.constants.empty()) {
    if (!problem.chosen) problem.chosen = quantization::choose_point(problem, ranks_, multiple(context));
    if (std::string why = why_not(problem, *problem.chosen, context); !why.empty()) {
      throw Unsupported(std::move(why));
    }
    store(problem, context);
  }
  const bool on_outputs = !problem.moments.empty();
  context.decided(
      layer, {.method = problem.how,
              .detail = fmt::format("keeps {:.4g} % of the {}", 100 * (1 - problem.chosen->lost),
                                    on_outputs ? "output's energy" : "energy"),
              .rank = static_cast<double>(problem.chosen->rank)});
  const bool is_first = layer.output == problem.layer.output;
  if (is_first || quantization::has_free_bias(layer)) quantization::shift_bias(layer, problem.shift);
  analysis::put_factors(layer, problem.factors, problem.constants);
  if (layer.weight.uses().empty()) {
    model.state().constraints.erase(layer.weight.name());
    analysis::WeightEditor::erase_if_unread(layer.weight);
  }
  return true;
}

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(factorize_weights, FactorizeWeights)
