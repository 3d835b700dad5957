// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcompress/layer.h"
#include "mcompress/pass_context.h"
#include "numerics/factorization.h"
#include "quantization/layer_fit.h"

namespace mcompress::quantization {

enum class Convolution { kAuto, kChannel, kSpatial, kTucker };

/// How the rank of a weight is chosen: one of the first four, or energy 0.95 where none is given.
struct RankOptions {
  std::optional<double> rank, ratio, energy, budget;
  Convolution convolution = Convolution::kAuto;
};

/// What the model loses by the part that factors lose of their layer: scale * lost^power.
struct LossCurve {
  bool measured = false;  ///< on the model's outputs; else all layers count the same
  double scale = 1, power = 1;

  double operator()(double lost) const { return scale * std::pow(lost, power); }
};

/// One weight that is to be replaced by factors, for all layers that share it.
struct FactorProblem {
  Layer layer;  ///< the first one
  bool is_shared = false;  ///< by several layers
  std::vector<float> kernel;
  DataType type = DataType::kFloat;
  int64_t nonzeros = 0;
  int64_t rows = 0;                   ///< of the product; 0: unknown
  std::vector<LayerMoments> moments;  ///< the mean alone
  LossCurve curve;
  std::unique_ptr<numerics::Factorization> solution;
  std::optional<numerics::FactorPoint> chosen;
  std::string obstacle;
  std::vector<numerics::Factor> factors;  ///< once chosen and stored
  std::vector<ValueRef> constants;
  std::vector<float> shift;  ///< of the bias
  std::string how;
};

FactorProblem make_factor_problem(const Layer& layer, const Tensor& weight);

/// A bias that can take up the mean of what is lost.
bool has_free_bias(const Layer& layer);

/// Fills in `solution`, of the method that loses least, or `obstacle`. `moments`: of one group, or
/// none.
void solve(FactorProblem& problem, std::span<const LayerMoments> moments,
           const RankOptions& options, int64_t multiple);

/// By rank, ratio or energy; rank 0 where nothing is within the ratio.
numerics::FactorPoint choose_point(const FactorProblem& problem, const RankOptions& options,
                                   int64_t multiple);
/// Why factors of this rank do not make the file smaller, or "".
std::string why_not_smaller(const FactorProblem& problem, const numerics::FactorPoint& point,
                            const RankOptions& options);

/// Factors of the chosen point for the outputs that `fit` asks for; the bias takes up the mean.
void fit_factors(FactorProblem& problem, const LayerFit& fit);
/// The same for the moments that the problem was solved with.
void fit_factors(FactorProblem& problem);

/// "svd rank 16", "tucker rank 16 x 8".
std::string describe_factors(const FactorProblem& problem);

}  // namespace mcompress::quantization
