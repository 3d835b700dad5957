// SPDX-License-Identifier: Apache-2.0
#include "numerics/gptq.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "numerics/linear_algebra.h"
#include "numerics/pair_rule.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kBlock = 128;
constexpr int64_t kColumnsPerTask = 128;
/// Outputs that are worked on together: what is kept of them, in double, does not grow with the layer.
constexpr int64_t kSlab = 512;
constexpr int kDampingAttempts = 8;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

// The order in which inputs are fixed and, in that order, the upper Cholesky factor of the inverse.
struct Elimination {
  std::vector<int64_t> order;
  std::vector<double> factor;
  bool solved = false;
};

std::vector<int64_t> elimination_order(const LayerProblem& layer, bool by_energy) {
  std::vector<int64_t> order(to_size(layer.inputs));
  std::iota(order.begin(), order.end(), 0);
  if (!by_energy) return order;
  const auto energy = [&](int64_t i) { return layer.gram[to_size(i * (layer.inputs + 1))]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return energy(a) > energy(b); });
  return order;
}

Elimination prepare(const LayerProblem& layer, const SolverOptions& options) {
  const int64_t n = layer.inputs;
  Elimination result;
  result.order = elimination_order(layer, options.order_by_energy);
  double mean_energy = 0;
  for (int64_t i = 0; i < n; ++i) {
    mean_energy += layer.gram[to_size(i * (n + 1))] / static_cast<double>(n);
  }
  if (!std::isfinite(mean_energy)) return result;
  if (mean_energy <= 0) mean_energy = 1;  // no data: every input counts the same
  double damping = options.damping * mean_energy;
  for (int attempt = 0; attempt < kDampingAttempts && !result.solved; ++attempt, damping *= 10) {
    result.factor.resize(to_size(n * n));
    for (int64_t i = 0; i < n; ++i) {
      const double* row = layer.gram.data() + result.order[to_size(i)] * n;
      for (int64_t j = 0; j < n; ++j) {
        result.factor[to_size(i * n + j)] = row[result.order[to_size(j)]];
      }
      double& diagonal = result.factor[to_size(i * (n + 1))];
      diagonal = diagonal > 0 ? diagonal + damping : mean_energy;
    }
    result.solved = inverse_cholesky(result.factor, n);
    if (damping == 0) damping = 1e-8 * mean_energy;
  }
  return result;
}

// The weights of `count` outputs from `begin` on as they change, rows in the order of elimination.
class Workspace {
 public:
  Workspace(const LayerProblem& layer, const Elimination& elimination, int64_t begin,
            int64_t count)
      : layer_(layer), elimination_(elimination), outputs_(count), w_(to_size(layer.inputs * count)) {
    for (int64_t i = 0; i < layer.inputs; ++i) {
      const float* row = layer.weights.data() + input(i) * layer.outputs + begin;
      std::copy(row, row + count, this->row(i));
    }
  }
  Workspace(const LayerProblem& layer, const Elimination& elimination)
      : Workspace(layer, elimination, 0, layer.outputs) {}

  int64_t input(int64_t i) const { return elimination_.order[to_size(i)]; }
  double* row(int64_t i) { return w_.data() + i * outputs_; }
  double factor(int64_t i, int64_t j) const {
    return elimination_.factor[to_size(i * layer_.inputs + j)];
  }

  // Calls before_block(begin, end) on the whole block, then, for each of its rows i and a range of
  // outputs, fix(i, first, last, row): it replaces the row's values in [first, last) by the final
  // ones. All later rows take up the error.
  template <class BeforeBlock, class Fix>
  void run(BeforeBlock before_block, Fix fix) {
    std::vector<double> errors(to_size(kBlock * outputs_));
    for (int64_t begin = 0; begin < layer_.inputs; begin += kBlock) {
      const int64_t end = std::min(begin + kBlock, layer_.inputs);
      before_block(begin, end);
      parallel_for(0, outputs_, kColumnsPerTask, [&](int64_t first, int64_t last) {
        run_columns(begin, end, first, last, errors, fix);
      });
      const int64_t rest = layer_.inputs - end;
      if (rest == 0) continue;
      const std::span<const double> coupling(
          &elimination_.factor[to_size(begin * layer_.inputs + end)],
          to_size((end - begin - 1) * layer_.inputs + rest));
      subtract_product(coupling, layer_.inputs, errors, rest, end - begin, outputs_,
                       {row(end), to_size(rest * outputs_)});
    }
  }

 private:
  template <class Fix>
  void run_columns(int64_t begin, int64_t end, int64_t first, int64_t last,
                   std::vector<double>& errors, Fix& fix) {
    std::vector<double> before(to_size(last - first));
    for (int64_t i = begin; i < end; ++i) {
      double* w = row(i);
      std::copy(w + first, w + last, before.begin());
      fix(i, first, last, w);
      double* error = errors.data() + (i - begin) * outputs_;
      for (int64_t j = first; j < last; ++j) {
        error[j] = (before[to_size(j - first)] - w[j]) / factor(i, i);
      }
      for (int64_t later = i + 1; later < end; ++later) {
        const double coupling = factor(i, later);
        double* target = row(later);
        for (int64_t j = first; j < last; ++j) target[j] -= coupling * error[j];
      }
    }
  }

  const LayerProblem& layer_;
  const Elimination& elimination_;
  int64_t outputs_;
  std::vector<double> w_;
};

std::vector<int8_t> round_to_nearest(const LayerProblem& layer, const QuantGrid& grid) {
  std::vector<int8_t> values(layer.weights.size(), 0);
  for (int64_t i = 0; i < layer.inputs; ++i) {
    for (int64_t j = 0; j < layer.outputs; ++j) {
      const size_t at = to_size(i * layer.outputs + j);
      values[at] = static_cast<int8_t>(grid.nearest(layer.weights[at], i, j, layer, values));
    }
  }
  return values;
}

// What the first of a pair gives up of its code so that the second, whose real value is `other`,
// is not left with all of the excess: the minimum of own x^2 + energy (excess - x)^2.
int32_t leave_room(int32_t code, double other, double own_energy, double other_energy) {
  const auto rounded = static_cast<int32_t>(std::lround(std::clamp(other, -127.0, 127.0)));
  const int limit = pair_limit(code, rounded);
  const int excess = std::abs(code) - limit;
  if (excess <= 0) return code;
  const double total = own_energy + other_energy;
  const int give = static_cast<int>(std::lround(excess * (total > 0 ? other_energy / total : 0.5)));
  return code > 0 ? code - give : code + give;
}

// Rounds in the order of elimination; knows which partners are fixed already.
class PairedRounding {
 public:
  PairedRounding(const LayerProblem& layer, const QuantGrid& grid, const Elimination& elimination,
                 std::span<int8_t> values)
      : layer_(layer), grid_(grid), values_(values), position_(to_size(layer.inputs)) {
    for (int64_t i = 0; i < layer.inputs; ++i) {
      position_[to_size(elimination.order[to_size(i)])] = i;
    }
  }

  // The code of output `column` of a slab, in `work`, that begins with output `first`.
  int32_t round(int64_t position, int64_t input, int64_t first, int64_t column, double value,
                Workspace& work) const {
    const int64_t output = first + column;
    int32_t code = grid_.nearest(value, input, output, layer_, values_);
    if (grid_.partners.empty()) return code;
    for (const int64_t partner : grid_.partners[to_size(input)]) {
      if (partner < 0 || position_[to_size(partner)] < position) continue;
      const double scale = grid_.params(partner, output, layer_).scale;
      const double other = work.row(position_[to_size(partner)])[column] / scale;
      code = leave_room(code, other, energy(input), energy(partner));
    }
    return code;
  }

 private:
  double energy(int64_t input) const { return layer_.gram[to_size(input * (layer_.inputs + 1))]; }

  const LayerProblem& layer_;
  const QuantGrid& grid_;
  std::span<int8_t> values_;
  std::vector<int64_t> position_;
};

GptqResult round_on(const LayerProblem& layer, const QuantGrid& grid,
                    const Elimination& elimination) {
  GptqResult result;
  result.solved = elimination.solved;
  if (!result.solved) {
    result.values = round_to_nearest(layer, grid);
    return result;
  }
  // Codes not fixed yet are 0, which no pair minds.
  result.values.assign(layer.weights.size(), 0);
  const PairedRounding rounding(layer, grid, elimination, result.values);
  for (int64_t slab = 0; slab < layer.outputs; slab += kSlab) {
    Workspace work(layer, elimination, slab, std::min(kSlab, layer.outputs - slab));
    const auto nothing = [](int64_t, int64_t) {};
    const auto fix = [&](int64_t i, int64_t first, int64_t last, double* row) {
      const int64_t input = work.input(i);
      for (int64_t j = first; j < last; ++j) {
        const int32_t stored = rounding.round(i, input, slab, j, row[j], work);
        result.values[to_size(input * layer.outputs + slab + j)] = static_cast<int8_t>(stored);
        row[j] = dequantize_value(stored, grid.params(input, slab + j, layer));
      }
    };
    work.run(nothing, fix);
  }
  return result;
}

void prune_row(double* row, const uint8_t* mask, int64_t first, int64_t last) {
  for (int64_t j = first; j < last; ++j) {
    if (mask[j] == 0) row[j] = 0;
  }
}

std::vector<float> in_input_order(Workspace& work, const LayerProblem& layer) {
  std::vector<float> weights(layer.weights.size());
  for (int64_t i = 0; i < layer.inputs; ++i) {
    const double* row = work.row(i);
    float* out = weights.data() + work.input(i) * layer.outputs;
    for (int64_t j = 0; j < layer.outputs; ++j) out[j] = static_cast<float>(row[j]);
  }
  return weights;
}

SparseResult by_magnitude(const LayerProblem& layer, const Mask& mask) {
  SparseResult result;
  result.weights.assign(layer.weights.begin(), layer.weights.end());
  apply_mask(mask, result.weights);
  result.solved = false;
  return result;
}

Mask lowest(std::span<const float> scores, int64_t prune) {
  const ScoredLayer scored{scores};
  return std::move(prune_lowest({&scored, 1}, prune)[0]);
}

}  // namespace

double output_error(const LayerProblem& layer, std::span<const float> changed) {
  std::vector<double> difference = to_double(layer.weights);
  for (size_t i = 0; i < difference.size(); ++i) difference[i] -= changed[i];
  std::vector<double> product(difference.size());
  multiply(layer.gram, difference, layer.inputs, layer.inputs, layer.outputs, product);
  double error = 0;
  for (size_t i = 0; i < difference.size(); ++i) error += difference[i] * product[i];
  return error;
}

GptqResult gptq(const LayerProblem& layer, const QuantGrid& grid, const SolverOptions& options) {
  return round_on(layer, grid, prepare(layer, options));
}

std::vector<GptqResult> gptq(const LayerProblem& layer, std::span<const QuantGrid> grids,
                             const SolverOptions& options) {
  const Elimination elimination = prepare(layer, options);
  std::vector<GptqResult> results;
  for (const QuantGrid& grid : grids) results.push_back(round_on(layer, grid, elimination));
  return results;
}

SparseResult sparse_gpt(const LayerProblem& layer, double sparsity, const SolverOptions& options) {
  const int64_t outputs = layer.outputs;
  const int64_t wanted = prune_count(layer.inputs * outputs, sparsity);
  const Elimination elimination = prepare(layer, options);
  if (!elimination.solved) {
    return by_magnitude(layer, lowest(magnitude_scores(layer.weights), wanted));
  }
  Workspace work(layer, elimination);
  Mask mask;
  int64_t block_begin = 0;
  int64_t pruned = 0;
  const auto choose = [&](int64_t begin, int64_t end) {
    std::vector<float> scores(to_size((end - begin) * outputs));
    for (int64_t i = begin; i < end; ++i) {
      const double* row = work.row(i);
      for (int64_t j = 0; j < outputs; ++j) {
        const double ratio = row[j] / work.factor(i, i);
        scores[to_size((i - begin) * outputs + j)] = static_cast<float>(ratio * ratio);
      }
    }
    // Rounded on the running total, so that the whole comes out exact.
    const int64_t target = end == layer.inputs ? wanted : prune_count(end * outputs, sparsity);
    mask = lowest(scores, target - pruned);
    pruned = target;
    block_begin = begin;
  };
  const auto fix = [&](int64_t i, int64_t first, int64_t last, double* row) {
    prune_row(row, mask.data() + (i - block_begin) * outputs, first, last);
  };
  work.run(choose, fix);
  return {in_input_order(work, layer), true};
}

SparseResult sparse_gpt_n_of_m(const LayerProblem& layer, int n, int m,
                               const SolverOptions& options) {
  SolverOptions in_order = options;
  in_order.order_by_energy = false;
  const Elimination elimination = prepare(layer, in_order);
  const ReductionLayout layout = ReductionLayout::matrix(layer.inputs, layer.outputs);
  if (!elimination.solved) {
    return by_magnitude(layer, n_of_m_mask(magnitude_scores(layer.weights), layout, n, m));
  }
  Workspace work(layer, elimination);
  Mask mask(layer.weights.size(), 1);
  const int64_t grouped = layer.inputs / m * m;
  // A group is chosen when its first row is reached, by the weights as they are by then. Blocks
  // that are no multiple of m split a group; its last rows then miss the update of this block only.
  const auto choose_group = [&](int64_t i, int64_t column) {
    std::vector<std::pair<double, int64_t>> scores;
    for (int64_t k = i; k < i + m; ++k) {
      const double ratio = work.row(k)[column] / work.factor(k, k);
      scores.emplace_back(-ratio * ratio, k);
    }
    std::sort(scores.begin(), scores.end());
    for (size_t k = static_cast<size_t>(n); k < scores.size(); ++k) {
      mask[to_size(scores[k].second * layer.outputs + column)] = 0;
    }
  };
  const auto nothing = [](int64_t, int64_t) {};
  const auto fix = [&](int64_t i, int64_t first, int64_t last, double* row) {
    if (i % m == 0 && i < grouped) {
      for (int64_t j = first; j < last; ++j) choose_group(i, j);
    }
    prune_row(row, mask.data() + i * layer.outputs, first, last);
  };
  work.run(nothing, fix);
  return {in_input_order(work, layer), true};
}

}  // namespace mcompress::numerics
