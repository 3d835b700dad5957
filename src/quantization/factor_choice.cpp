// SPDX-License-Identifier: Apache-2.0
#include "quantization/factor_choice.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/factor_chain.h"
#include "analysis/weight_editor.h"
#include "numerics/linear_algebra.h"
#include "numerics/low_rank.h"
#include "quantization/bias_correction.h"

namespace mcompress::quantization {
namespace {

using numerics::Factorization;
using numerics::FactorMethod;
using numerics::FactorPoint;

constexpr double kDefaultEnergy = 0.95;
/// Two products with nearly as many parameters take longer than one: by energy, a layer stays dense
/// above this part.
constexpr double kWorthwhile = 0.8;
/// Part of the parameters at which methods for a convolution are compared.
constexpr double kCompareAt = 0.5;

std::string_view method_name(const Layer& layer, FactorMethod method) {
  if (layer.kind != LayerKind::kConv) return "svd";
  switch (method) {
    case FactorMethod::kSpatial:
      return "spatial";
    case FactorMethod::kTucker:
      return "tucker";
    case FactorMethod::kChannel:
      break;
  }
  return "channel";
}

/// X^T X / n, less the product of the means where a bias takes care of them.
std::vector<double> second_moments(const Layer& layer, const LayerMoments& moments) {
  std::vector<double> gram = moments.gram;
  if (!has_free_bias(layer)) return gram;
  const size_t n = moments.mean.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) gram[i * n + j] -= moments.mean[i] * moments.mean[j];
  }
  return gram;
}

std::vector<FactorMethod> methods_of(const Layer& layer, Convolution wanted) {
  if (layer.kind != LayerKind::kConv || wanted == Convolution::kChannel) {
    return {FactorMethod::kChannel};
  }
  const bool has_rows_and_columns =
      layer.weight_shape.size() == 4 && layer.weight_shape[2] > 1 && layer.weight_shape[3] > 1;
  const bool has_window = layer.kernel > 1;
  std::vector<FactorMethod> methods;
  if (wanted == Convolution::kAuto) methods.push_back(FactorMethod::kChannel);
  if (wanted != Convolution::kTucker && has_rows_and_columns) {
    methods.push_back(FactorMethod::kSpatial);
  }
  if (wanted != Convolution::kSpatial && has_window) methods.push_back(FactorMethod::kTucker);
  // Where the window has nothing to be split, channels have.
  if (methods.empty()) methods.push_back(FactorMethod::kChannel);
  return methods;
}

/// By SVD of whole windows all factors are the best already.
void fit_last(FactorMethod method, std::vector<numerics::Factor>& factors,
              const numerics::KernelShape& shape, std::span<const float> kernel,
              std::span<const double> gram) {
  if (method != FactorMethod::kChannel && !gram.empty()) {
    numerics::refit_last(method, factors, shape, kernel, gram);
  }
}

const FactorPoint* last_within(const Factorization& solution, double parameters) {
  const FactorPoint* found = nullptr;
  for (const FactorPoint& point : solution.points()) {
    if (static_cast<double>(point.parameters) <= parameters) found = &point;
  }
  return found;
}

/// Where methods for one convolution are compared; nothing where its factors are not smaller.
std::optional<FactorPoint> compared_at(const Factorization& solution, int64_t parameters,
                                       const RankOptions& options) {
  if (options.rank) {
    const FactorPoint point = solution.point(static_cast<int64_t>(*options.rank));
    return point.parameters < parameters ? std::optional(point) : std::nullopt;
  }
  const FactorPoint* const last =
      last_within(solution, options.ratio.value_or(kCompareAt) * static_cast<double>(parameters));
  return last == nullptr ? std::nullopt : std::optional(*last);
}

FactorPoint choose_by_energy(const FactorProblem& problem, double energy, int64_t multiple) {
  const double most_lost = 1 - energy;
  const auto& points = problem.solution->points();
  const auto enough = std::find_if(points.begin(), points.end(), [&](const FactorPoint& point) {
    return point.lost <= most_lost + 1e-12;
  });
  if (problem.solution->method() == FactorMethod::kTucker) {
    return enough != points.end() ? *enough : problem.solution->point(problem.layer.outputs);
  }
  const int64_t full = problem.solution->point(problem.layer.weight_count()).rank;
  if (enough == points.end()) return problem.solution->point(full);
  return problem.solution->point(numerics::round_rank(enough->rank, multiple, full));
}

}  // namespace

FactorProblem make_factor_problem(const Layer& layer, const Tensor& weight) {
  FactorProblem problem;
  problem.layer = layer;
  const std::vector<float> values = weight.to_float();
  problem.type = weight.type();
  problem.obstacle = analysis::value_obstacle(values);
  if (!problem.obstacle.empty()) return problem;
  problem.nonzeros =
      static_cast<int64_t>(values.size()) - std::count(values.begin(), values.end(), 0.0F);
  if (problem.nonzeros == 0) {
    problem.obstacle = "its weight is zero";
    return problem;
  }
  problem.kernel = analysis::to_kernel(layer, values);
  return problem;
}

bool has_free_bias(const Layer& layer) {
  if (!layer.bias || layer.bias.constant_shape() != Shape{layer.outputs}) return false;
  return layer.node.attribute("alpha", 1.0F) == 1.0F && layer.node.attribute("beta", 1.0F) == 1.0F;
}

void solve(FactorProblem& problem, std::span<const LayerMoments> moments,
           const RankOptions& options, int64_t multiple) {
  const Layer& layer = problem.layer;
  const numerics::KernelShape shape = analysis::kernel_shape(layer);
  std::vector<double> gram;
  if (moments.size() == 1) {
    gram = second_moments(layer, moments[0]);
    problem.moments = {{.inputs = moments[0].inputs,
                        .rows = moments[0].rows,
                        .gram = {},
                        .mean = moments[0].mean}};
  }
  double least = 0;
  const auto candidates = methods_of(layer, options.convolution);
  for (const FactorMethod method : candidates) {
    auto solution = std::make_unique<Factorization>(method, problem.kernel, shape, gram, multiple);
    double lost = 0;
    if (candidates.size() > 1) {
      const auto at = compared_at(*solution, shape.parameters(), options);
      if (!at) continue;
      std::vector<numerics::Factor> factors = solution->factors(*at);
      fit_last(method, factors, shape, problem.kernel, gram);
      lost = numerics::relative_loss(problem.kernel, numerics::composed(method, factors, shape),
                                     shape.outputs, gram);
    }
    // Fewer nodes come first and win where nothing tells the methods apart.
    if (problem.solution && lost >= least - 1e-6) continue;
    least = lost;
    problem.solution = std::move(solution);
  }
  if (!problem.solution || problem.solution->points().empty()) {
    problem.obstacle = "factors of its weight are never smaller";
  }
}

FactorPoint choose_point(const FactorProblem& problem, const RankOptions& options,
                         int64_t multiple) {
  const Factorization& solution = *problem.solution;
  if (options.rank) return solution.point(static_cast<int64_t>(*options.rank));
  if (!options.ratio) {
    return choose_by_energy(problem, options.energy.value_or(kDefaultEnergy), multiple);
  }
  const double most = *options.ratio * static_cast<double>(problem.kernel.size());
  const FactorPoint* const last = last_within(solution, most + 1e-9);
  if (last == nullptr) return {};
  if (solution.method() == FactorMethod::kTucker || last->rank < multiple) return *last;
  return solution.point(last->rank / multiple * multiple);
}

std::string why_not_smaller(const FactorProblem& problem, const FactorPoint& point,
                            const RankOptions& options) {
  const auto dense = static_cast<int64_t>(problem.kernel.size());
  const bool by_energy = !options.rank && !options.ratio && !options.budget;
  const double most =
      by_energy ? kWorthwhile * static_cast<double>(dense) : static_cast<double>(dense - 1);
  if (point.rank < 1 || static_cast<double>(point.parameters) > most) {
    const FactorPoint* const last = last_within(*problem.solution, most);
    return fmt::format("rank {} does not pay against the dense weight, {} is the most that does",
                       point.rank, last == nullptr ? 0 : last->rank);
  }
  if (point.parameters >= problem.nonzeros) {
    return fmt::format("its weight has {} non-zeros, factors of rank {} have {} parameters",
                       problem.nonzeros, point.rank, point.parameters);
  }
  return "";
}

void fit_factors(FactorProblem& problem, const LayerFit& fit) {
  const numerics::KernelShape shape = analysis::kernel_shape(problem.layer);
  const numerics::LayerProblem wanted = fit.problems().front();
  const std::vector<float> target =
      numerics::transposed(wanted.weights, fit.inputs(), fit.outputs());
  const FactorMethod method = problem.solution->method();
  const Factorization solution(method, target, shape, wanted.gram,
                               std::max<int64_t>(problem.chosen->rank, 1));
  problem.factors = solution.factors(*problem.chosen);
  fit_last(method, problem.factors, shape, target, wanted.gram);
  const auto after = numerics::composed(method, problem.factors, shape);
  problem.shift = fit.bias_shift(numerics::transposed(after, shape.outputs, fit.inputs()));
}

void fit_factors(FactorProblem& problem) {
  const Layer& layer = problem.layer;
  problem.factors = problem.solution->factors(*problem.chosen);
  if (problem.moments.empty() || !has_free_bias(layer)) return;
  const numerics::KernelShape shape = analysis::kernel_shape(layer);
  const auto after = numerics::composed(problem.solution->method(), problem.factors, shape);
  problem.shift = mean_output_shift(layer, analysis::from_kernel(layer, problem.kernel),
                                    analysis::from_kernel(layer, after), problem.moments);
}

std::string describe_factors(const FactorProblem& problem) {
  const FactorPoint& point = *problem.chosen;
  const std::string ranks = point.inner > 0 ? fmt::format("{} x {}", point.rank, point.inner)
                                            : std::to_string(point.rank);
  return fmt::format("{} rank {}", method_name(problem.layer, problem.solution->method()), ranks);
}

}  // namespace mcompress::quantization
