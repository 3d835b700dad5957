// SPDX-License-Identifier: Apache-2.0
#include "quantization/rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "analysis/layer_matrix.h"
#include "mcompress/error.h"
#include "numerics/adaptive_rounding.h"
#include "numerics/gptq.h"
#include "numerics/linear_algebra.h"
#include "numerics/pair_quantize.h"
#include "numerics/pair_rule.h"
#include "numerics/weight_quantize.h"
#include "quantization/rounding_grid.h"

namespace mcompress::quantization {
namespace {

using analysis::LayerMatrix;

constexpr double kDamping = 0.01;
constexpr int kSweeps = 4;
/// Scales for the codes, then codes for the scales: each lowers the error of few-bit weights.
constexpr int kFits = 4;
/// Multiplications that looking for better scales may take, and that a layer's steps may.
constexpr double kSearchWork = 4e10;
constexpr double kAdaptiveWork = 2e10;
constexpr int kFewestSteps = 150;
constexpr int64_t kSlab = 512;  ///< outputs whose errors are held in double at one time

/// Wider scales, for which few pairs are too much; and around the scale of least weight error,
/// which is not the one of least output error.
constexpr std::array<float, 5> kPairFactors{1.0F, 1.1892071F, 1.4142135F, 1.6817928F, 2.0F};
constexpr std::array<float, 5> kFewBitsFactors{1.0F, 0.8F, 0.9F, 1.12F, 1.25F};

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

void require_matrix(const Layer& layer) {
  if (std::string why = LayerMatrix::obstacle(layer); !why.empty())
    throw Unsupported(std::move(why));
}

/// What counts of the moments: all of them, or only what varies about the mean.
std::vector<double> gram_of(const LayerMoments& moments, bool centered) {
  std::vector<double> gram = moments.gram;
  if (!centered) return gram;
  const size_t n = moments.mean.size();
  for (size_t i = 0; i < n; ++i) {
    const double before = gram[i * (n + 1)];
    for (size_t j = 0; j < n; ++j) gram[i * n + j] -= moments.mean[i] * moments.mean[j];
    // A constant input keeps a little energy, so that its weights stay what they are.
    gram[i * (n + 1)] = std::max(gram[i * (n + 1)], 1e-4 * before);
  }
  return gram;
}

/// Mean square of the input of each weight, in the layout of the layer; empty without moments.
std::vector<float> importance_of(const Layer& layer, const LayerMatrix& matrix,
                                 std::span<const std::vector<double>> grams) {
  if (grams.empty()) return {};
  std::vector<float> values;
  values.reserve(to_size(layer.weight_count()));
  const int64_t rows = matrix.groups() * matrix.inputs() / static_cast<int64_t>(grams.size());
  for (const std::vector<double>& gram : grams) {
    for (int64_t i = 0; i < rows; ++i) {
      const double energy = gram[to_size(i * (rows + 1))];
      values.insert(values.end(), to_size(matrix.outputs()), static_cast<float>(energy));
    }
  }
  return matrix.in_weight_order(std::span<const float>(values));
}

/// Scales, and the codes of rounding to nearest on them.
RoundedWeight start(const Layer& layer, std::span<const float> weight,
                    const RoundingOptions& options, std::span<const float> importance) {
  numerics::WeightQuantOptions how{.range = options.range, .symmetric = options.symmetric};
  if (options.method != Rounding::kNearest) {
    how.clip = numerics::ClipSearch::kMse;
    how.importance = importance;
  }
  if (options.block > 0) return quantize_in_blocks(layer, weight, options.block, how);
  RoundedWeight result;
  const auto layout = channel_layout(layer);
  result.scale_shape = {layout.channels};
  numerics::QuantizedWeights quantized;
  if (!options.scales.empty()) {
    quantized.scales.assign(options.scales.begin(), options.scales.end());
    quantized.zero_points.assign(options.zero_points.begin(), options.zero_points.end());
    quantized.values.resize(weight.size());
    numerics::quantize_channels(weight, layout, quantized.scales, quantized.zero_points,
                                options.range, quantized.values);
    if (options.pair_rule) {
      numerics::enforce_pair_rule(quantized.values, analysis::reduction_layout(layer), importance);
    }
  } else if (options.pair_rule) {
    // Clipping saturates weights, which the rule then cuts: the scales only get wider here.
    how.clip = numerics::ClipSearch::kNone;
    int64_t moved = 0;
    quantized =
        numerics::quantize_in_pairs(weight, layout, analysis::reduction_layout(layer), how, moved);
  } else {
    quantized = numerics::quantize_weights(weight, layout, how);
  }
  result.codes = std::move(quantized.values);
  result.scales = std::move(quantized.scales);
  result.zero_points = std::move(quantized.zero_points);
  return result;
}

/// codes - zero points, in the layout of the layer.
std::vector<float> steps_of(const Layer& layer, const RoundedWeight& weight) {
  RoundedWeight unit = weight;
  std::fill(unit.scales.begin(), unit.scales.end(), 1.0F);
  return dequantized(layer, unit);
}

/// The problems that the groups of a layer are, or parts of their inputs where the moments are of
/// these, on grids made from one set of scales.
class GroupProblems {
 public:
  GroupProblems(const Layer& layer, const LayerMatrix& matrix,
                std::span<const std::vector<double>> grams, const RoundingOptions& options)
      : layer_(layer),
        matrix_(matrix),
        grams_(grams),
        options_(options),
        parts_(static_cast<int64_t>(grams.size()) / matrix.groups()),
        rows_(matrix.inputs() / parts_) {
    if (pairs_inputs()) partners_ = partners_by_part();
  }

  /// A ConvTranspose pairs taps, which are outputs of its matrix: it is mended afterwards.
  bool pairs_inputs() const {
    return options_.pair_rule && layer_.kind != LayerKind::kConvTranspose;
  }

  double work() const {
    return static_cast<double>(matrix_.groups() * parts_ * rows_ * rows_) *
           static_cast<double>(matrix_.outputs());
  }

  /// Codes for the scales of `weight` times each of the factors; each channel takes the best.
  void solve(RoundedWeight& weight, std::span<const float> factors) const {
    const ScaleMap map(layer_, matrix_, options_.block);
    std::vector<std::vector<int8_t>> codes(factors.size());
    std::vector<std::vector<double>> errors(factors.size(),
                                            std::vector<double>(map.channels(), 0.0));
    for (int64_t part = 0; part < matrix_.groups() * parts_; ++part) {
      const int64_t g = part / parts_;
      const auto problem = problem_of(part);
      std::vector<GroupGrid> own;
      for (const float factor : factors) own.push_back(map.grid(g, weight, factor));
      std::vector<numerics::QuantGrid> grids;
      for (const GroupGrid& grid : own) grids.push_back(view_of(grid, part));
      const auto solved = codes_of(problem, grids);
      for (size_t f = 0; f < factors.size(); ++f) {
        if (factors.size() > 1) add_errors(problem, map, g, grids[f], solved[f], errors[f]);
        codes[f].insert(codes[f].end(), solved[f].begin(), solved[f].end());
      }
    }
    std::vector<size_t> best(map.channels(), 0);
    for (size_t f = 1; f < factors.size(); ++f) {
      for (size_t c = 0; c < best.size(); ++c) {
        if (errors[f][c] < errors[best[c]][c]) best[c] = f;
      }
    }
    std::vector<int8_t> chosen(codes[0].size());
    for (size_t at = 0; at < chosen.size(); ++at) {
      chosen[at] = codes[best[map.channel_of_element(at)]][at];
    }
    std::vector<float> taken;
    for (const size_t f : best) taken.push_back(factors[f]);
    map.scale(taken, weight.scales);
    weight.codes = matrix_.in_weight_order(std::span<const int8_t>(chosen));
  }

  /// Scales of least squared output error for the codes that are there. Only without blocks.
  void fit_scales(RoundedWeight& weight) const {
    const ScaleMap map(layer_, matrix_, options_.block);
    std::vector<double> along(map.channels(), 0.0), energy(map.channels(), 0.0);
    const LayerMatrix steps(layer_, steps_of(layer_, weight));
    for (int64_t part = 0; part < matrix_.groups() * parts_; ++part) {
      const int64_t g = part / parts_;
      const auto problem = problem_of(part);
      const auto q = part_of(steps, part);
      const auto product = times_gram(problem, q);
      for (size_t at = 0; at < q.size(); ++at) {
        const size_t channel = map.channel(g, static_cast<int64_t>(at) % matrix_.outputs());
        along[channel] += product[at] * problem.weights[at];
        energy[channel] += product[at] * static_cast<double>(q[at]);
      }
    }
    for (size_t c = 0; c < weight.scales.size(); ++c) {
      const double fitted = energy[c] > 0 ? along[c] / energy[c] : 0.0;
      // Far from the old one it is noise: codes that are nearly all zero.
      const double ratio = fitted / static_cast<double>(weight.scales[c]);
      if (ratio > 0.5 && ratio < 2.0) weight.scales[c] = static_cast<float>(fitted);
    }
  }

  /// Better codes for the scales that are there. Only without blocks.
  void refine(RoundedWeight& weight) const {
    const ScaleMap map(layer_, matrix_, options_.block);
    const std::vector<float> stored(weight.codes.begin(), weight.codes.end());
    const LayerMatrix ordered(layer_, stored);
    std::vector<int8_t> codes;
    for (int64_t part = 0; part < matrix_.groups() * parts_; ++part) {
      const auto before = part_of(ordered, part);
      std::vector<int8_t> own;
      for (const float code : before) own.push_back(static_cast<int8_t>(code));
      const GroupGrid grid = map.grid(part / parts_, weight, 1.0F);
      numerics::refine_codes(problem_of(part), view_of(grid, part), kSweeps, kDamping, own);
      codes.insert(codes.end(), own.begin(), own.end());
    }
    weight.codes = matrix_.in_weight_order(std::span<const int8_t>(codes));
  }

 private:
  /// Partners within the same part; pairs across parts are mended at the end.
  std::vector<std::vector<std::array<int64_t, 2>>> partners_by_part() const {
    const auto reduction = analysis::reduction_layout(layer_);
    const auto all = numerics::pair_partners(reduction.channels, reduction.taps);
    std::vector<std::vector<std::array<int64_t, 2>>> result(to_size(parts_));
    for (int64_t i = 0; i < matrix_.inputs(); ++i) {
      const int64_t first = i / rows_ * rows_;
      auto& own = result[to_size(i / rows_)].emplace_back(all[to_size(i)]);
      for (int64_t& partner : own) {
        partner = partner < first || partner >= first + rows_ ? -1 : partner - first;
      }
    }
    return result;
  }

  /// The rows of a matrix that a part stands for.
  std::span<const float> part_of(const LayerMatrix& matrix, int64_t part) const {
    const size_t size = to_size(rows_ * matrix.outputs());
    return matrix.group(part / parts_).subspan(to_size(part % parts_) * size, size);
  }

  numerics::LayerProblem problem_of(int64_t part) const {
    return {part_of(matrix_, part), rows_, matrix_.outputs(), grams_[to_size(part)]};
  }

  numerics::QuantGrid view_of(const GroupGrid& grid, int64_t part) const {
    numerics::QuantGrid view{.scales = grid.scales,
                             .zero_points = grid.zero_points,
                             .group = options_.block,
                             .range = options_.range};
    if (!partners_.empty()) view.partners = partners_[to_size(part % parts_)];
    return view;
  }

  std::vector<std::vector<int8_t>> codes_of(const numerics::LayerProblem& problem,
                                            std::span<const numerics::QuantGrid> grids) const {
    std::vector<std::vector<int8_t>> codes;
    if (options_.method == Rounding::kAdaptive) {
      for (const auto& grid : grids) codes.push_back(adapt(problem, grid));
    } else {
      for (auto& result : numerics::gptq(problem, grids)) codes.push_back(std::move(result.values));
    }
    for (size_t i = 0; i < grids.size(); ++i) {
      numerics::refine_codes(problem, grids[i], kSweeps, kDamping, codes[i]);
    }
    return codes;
  }

  std::vector<int8_t> adapt(const numerics::LayerProblem& problem,
                            const numerics::QuantGrid& grid) const {
    const int most = static_cast<int>(std::min(1e6, kAdaptiveWork / std::max(1.0, work())));
    numerics::AdaptiveOptions how;
    how.steps = std::max(std::min(kFewestSteps, options_.steps), std::min(options_.steps, most));
    auto codes = numerics::adaptive_round(problem, grid, how);
    if (pairs_inputs()) {
      // In the order of im2col here, not of the weight.
      const auto reduction = analysis::reduction_layout(layer_);
      numerics::ReductionLayout own = reduction;
      own.output_stride = 1;
      own.outputs = problem.outputs;
      own.channels = problem.inputs / reduction.taps;
      own.channel_stride = reduction.taps * problem.outputs;
      own.tap_stride = problem.outputs;
      numerics::enforce_pair_rule(codes, own);
    }
    return codes;
  }

  static std::vector<double> times_gram(const numerics::LayerProblem& problem,
                                        std::span<const float> values) {
    const std::vector<double> own(values.begin(), values.end());
    std::vector<double> product(own.size());
    numerics::multiply(problem.gram, own, problem.inputs, problem.inputs, problem.outputs, product);
    return product;
  }

  void add_errors(const numerics::LayerProblem& problem, const ScaleMap& map, int64_t group,
                  const numerics::QuantGrid& grid, std::span<const int8_t> codes,
                  std::vector<double>& errors) const {
    for (int64_t first = 0; first < problem.outputs; first += kSlab) {
      const int64_t width = std::min(kSlab, problem.outputs - first);
      std::vector<double> error(to_size(problem.inputs * width)), product(error.size());
      for (int64_t k = 0; k < problem.inputs; ++k) {
        for (int64_t j = 0; j < width; ++j) {
          const size_t at = to_size(k * problem.outputs + first + j);
          error[to_size(k * width + j)] =
              numerics::dequantize_value(codes[at], grid.params(k, first + j, problem)) -
              problem.weights[at];
        }
      }
      numerics::multiply(problem.gram, error, problem.inputs, problem.inputs, width, product);
      for (size_t at = 0; at < error.size(); ++at) {
        errors[map.channel(group, first + static_cast<int64_t>(at) % width)] +=
            product[at] * error[at];
      }
    }
  }

  const Layer& layer_;
  const LayerMatrix& matrix_;
  std::span<const std::vector<double>> grams_;
  const RoundingOptions& options_;
  int64_t parts_;  ///< of each group
  int64_t rows_;   ///< inputs of a part
  std::vector<std::vector<std::array<int64_t, 2>>> partners_;
};

std::span<const float> factors_for(const RoundingOptions& options, const GroupProblems& problems) {
  static constexpr std::array<float, 1> kOnly{1.0F};
  const bool fixed = !options.scales.empty();
  const bool many_bits = options.range.max > 7;
  if (fixed || options.method == Rounding::kAdaptive || problems.work() * 5 > kSearchWork) {
    return kOnly;
  }
  if (options.pair_rule) return kPairFactors;
  if (many_bits) return kOnly;
  return kFewBitsFactors;
}

std::string note_of(std::span<const LayerMoments> moments) {
  const LayerMoments& first = moments.front();
  if (first.rows >= first.inputs) return "";
  return std::to_string(first.rows) + " rows for " + std::to_string(first.inputs) +
         " inputs: damped";
}

}  // namespace

RoundedWeight round_weight(const Layer& layer, const Tensor& weight,
                           std::span<const LayerMoments> moments, const RoundingOptions& options) {
  const auto values = weight.as<float>();
  const bool wants_matrix = options.block > 0 || needs_moments(options.method);
  if (wants_matrix) require_matrix(layer);
  const bool has_moments = !moments.empty() && LayerMatrix::obstacle(layer).empty();
  if (!has_moments || options.method == Rounding::kNearest) {
    RoundedWeight result = start(layer, values, options, {});
    if (needs_moments(options.method)) result.note = "no moments of its inputs: method mse";
    return result;
  }
  const LayerMatrix matrix(layer, values);
  std::vector<std::vector<double>> grams;
  for (const LayerMoments& group : moments) {
    grams.push_back(gram_of(group, options.bias_takes_mean));
  }
  RoundedWeight result = start(layer, values, options, importance_of(layer, matrix, grams));
  result.note = note_of(moments);
  if (options.method == Rounding::kMse) return result;
  const GroupProblems problems(layer, matrix, grams, options);
  problems.solve(result, factors_for(options, problems));
  const bool may_fit = options.block == 0 && options.scales.empty() && options.range.max <= 7;
  for (int i = 0; may_fit && i < kFits; ++i) {
    problems.fit_scales(result);
    problems.refine(result);
  }
  if (options.pair_rule) {
    numerics::enforce_pair_rule(result.codes, analysis::reduction_layout(layer));
  }
  return result;
}

std::vector<float> dequantized(const Layer& layer, const RoundedWeight& rounded, int64_t block) {
  std::vector<float> values(rounded.codes.begin(), rounded.codes.end());
  if (block == 0) {
    numerics::dequantize_channels(rounded.codes, channel_layout(layer), rounded.scales,
                                  rounded.zero_points, values);
    return values;
  }
  LayerMatrix matrix(layer, values);
  const ScaleMap map(layer, matrix, block);
  for (int64_t g = 0; g < matrix.groups(); ++g) {
    const auto part = matrix.group(g);
    for (size_t at = 0; at < part.size(); ++at) {
      const auto element = static_cast<int64_t>(at);
      const size_t scale =
          map.scale_index(g, element / matrix.outputs(), element % matrix.outputs());
      if (!rounded.zero_points.empty()) {
        part[at] -= static_cast<float>(rounded.zero_points[scale]);
      }
      part[at] *= rounded.scales[scale];
    }
  }
  return matrix.weight();
}

double relative_output_error(const Layer& layer, const Tensor& weight,
                             std::span<const float> changed,
                             std::span<const LayerMoments> moments) {
  const LayerMatrix before(layer, weight.as<float>()), after(layer, changed);
  const std::vector<float> zeros(to_size(before.inputs() * before.outputs()), 0.0F);
  double error = 0, signal = 0;
  for (int64_t g = 0; g < before.groups(); ++g) {
    const numerics::LayerProblem problem{before.group(g), before.inputs(), before.outputs(),
                                         moments[to_size(g)].gram};
    error += numerics::output_error(problem, after.group(g));
    signal += numerics::output_error(problem, zeros);
  }
  return signal > 0 ? error / signal : 0.0;
}

}  // namespace mcompress::quantization
