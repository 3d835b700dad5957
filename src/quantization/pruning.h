// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "numerics/obs_budget.h"
#include "numerics/sparsity.h"
#include "quantization/layer_fit.h"

namespace mcompress::quantization {

/// What a layer is compressed to.
struct PruningTarget {
  double sparsity = 0;
  int values = 0;  ///< of a codebook; 0: any
};

/// Targets of one layer, and what each costs and loses.
struct PruningCurve {
  std::vector<numerics::BudgetOption> options;
  std::vector<PruningTarget> targets;
  double energy = 0;  ///< mean square of an element of the layer's output, without what a bias takes up
};

enum class PruningCost { kStoredBits, kWeights };

/// `sparsity`, but so that one of `count` weights is left.
double capped_sparsity(int64_t count, double sparsity);

/// The layer solved at several sparsities, and at each with codebooks of these sizes (0: none), on
/// some of its outputs. Losses are parts of the output's energy. Throws Unsupported where its
/// moments are not finite.
PruningCurve pruning_curve(const LayerFit& fit, int64_t count, std::span<const int> codebooks,
                           double damping, PruningCost cost);

/// One target a layer, so that of `counts` weights in all the part `sparsity` goes; `units` are the
/// options of the curves, weighed. Steps are coarse: what the choice leaves of the allowed weights
/// goes to the layers that are pruned, in proportion.
std::vector<PruningTarget> share_out_sparsity(
    std::span<const PruningCurve> curves,
    std::span<const std::vector<numerics::BudgetOption>> units, double sparsity);

/// |w| * |x| by group, [inputs, outputs] each (Wanda, arXiv 2306.11695).
std::vector<float> wanda_scores(const LayerFit& fit);
/// The same part of every output goes.
numerics::Mask lowest_of_outputs(std::span<const float> scores, const LayerFit& fit,
                                 double sparsity);

struct KeptOf {
  int n = 0, m = 0;
};
/// Where a layer is n of m only in part, as its input channels are no multiple of m; else "".
std::string tail_note(const Layer& layer, KeptOf pattern);
/// Outputs of layers that read a weight along another axis than the first layer that reads it: a
/// MatMul and a Gemm with transB. What is n of m for the first is not so for them.
std::set<std::string> crosswise_readers(std::span<const Layer> layers);
std::string crosswise_note(const Layer& layer, KeptOf pattern);

struct SequentialResult {
  std::vector<float> weights;  ///< by group, [inputs, outputs] each
  double error = 0;            ///< of the output, as a part of its energy
};
/// SparseGPT: one pass over the inputs, the rest makes up for each. Part `sparsity` of each group,
/// or n of m consecutive inputs.
SequentialResult prune_in_one_pass(const LayerFit& fit, double sparsity,
                                   std::optional<KeptOf> pattern, double damping);

}  // namespace mcompress::quantization
