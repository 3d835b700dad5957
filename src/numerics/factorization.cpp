// SPDX-License-Identifier: Apache-2.0
#include "numerics/factorization.h"

#include <algorithm>
#include <optional>

#include "numerics/linear_algebra.h"
#include "numerics/low_rank.h"
#include "numerics/tucker.h"

namespace mcompress::numerics {
namespace {

/// Of the mean energy, added to the diagonal: inner values that nothing tells apart share the work.
constexpr double kRidge = 1e-6;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// [outputs, channels, rows, columns] <-> [(channels, rows), (outputs, columns)].
std::vector<float> to_spatial(std::span<const float> weights, const KernelShape& shape) {
  const int64_t rows = shape.window[0], columns = shape.window[1];
  std::vector<float> matrix(weights.size());
  size_t at = 0;
  for (int64_t o = 0; o < shape.outputs; ++o) {
    for (int64_t cr = 0; cr < shape.channels * rows; ++cr) {
      for (int64_t c = 0; c < columns; ++c) {
        matrix[to_size((cr * shape.outputs + o) * columns + c)] = weights[at++];
      }
    }
  }
  return matrix;
}

/// Moments of (channel, row), summed over columns.
std::vector<double> spatial_gram(std::span<const double> gram, const KernelShape& shape) {
  if (gram.empty()) return {};
  const int64_t n = shape.channels * shape.window[0], columns = shape.window[1];
  std::vector<double> result(to_size(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t c = 0; c < columns; ++c) {
        result[to_size(i * n + j)] +=
            gram[to_size((i * columns + c) * n * columns + j * columns + c)];
      }
    }
  }
  return result;
}

std::vector<double> channel_gram(std::span<const double> gram, const KernelShape& shape) {
  if (gram.empty()) return {};
  const int64_t n = shape.channels, taps = shape.taps();
  std::vector<double> result(to_size(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t t = 0; t < taps; ++t) {
        result[to_size(i * n + j)] += gram[to_size((i * taps + t) * n * taps + j * taps + t)];
      }
    }
  }
  return result;
}

/// Columns of `left` [rows, from] and rows of `right` [from, columns] up to `rank`.
LowRankFactors cut(const LowRankFactors& factors, int64_t rank) {
  const auto rows = static_cast<int64_t>(factors.left.size()) / factors.rank;
  const auto columns = static_cast<int64_t>(factors.right.size()) / factors.rank;
  LowRankFactors result{rank, {}, {}};
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = factors.left.begin() + r * factors.rank;
    result.left.insert(result.left.end(), row, row + rank);
  }
  result.right.assign(factors.right.begin(), factors.right.begin() + rank * columns);
  return result;
}

std::vector<float> product(std::span<const float> a, std::span<const float> b, int64_t m, int64_t k,
                           int64_t n) {
  std::vector<double> out(to_size(m * n));
  multiply(to_double(a), to_double(b), m, k, n, out);
  return to_float(out);
}

}  // namespace

int64_t KernelShape::taps() const {
  int64_t taps = 1;
  for (const int64_t size : window) taps *= size;
  return taps;
}

/// Factors of the greatest rank that pays: those of lower ranks are parts of them.
struct Factorization::State {
  LowRankFactors factors;
  std::vector<double> singular_values;
  std::optional<Tucker> tucker;
};

Factorization::~Factorization() = default;
Factorization::Factorization(Factorization&&) noexcept = default;
Factorization& Factorization::operator=(Factorization&&) noexcept = default;

Factorization::Factorization(FactorMethod method, std::span<const float> weights, KernelShape shape,
                             std::span<const double> gram, int64_t multiple)
    : method_(method), shape_(std::move(shape)), state_(std::make_unique<State>()) {
  if (method == FactorMethod::kTucker) {
    state_->tucker.emplace(weights, shape_.outputs, shape_.channels, shape_.taps(),
                           channel_gram(gram, shape_));
    list_tucker_points(multiple);
    return;
  }
  const bool spatial = method == FactorMethod::kSpatial;
  const int64_t rows =
      spatial ? shape_.channels * shape_.window[0] : shape_.channels * shape_.taps();
  const int64_t columns = shape_.parameters() / rows;
  const std::vector<float> matrix =
      spatial ? to_spatial(weights, shape_) : transposed(weights, columns, rows);
  const std::vector<double> folded = spatial ? spatial_gram(gram, shape_) : std::vector<double>();
  const std::span<const double> moments = spatial ? std::span<const double>(folded) : gram;
  const LowRank svd =
      moments.empty() ? LowRank(matrix, rows, columns) : LowRank(matrix, rows, columns, moments);
  state_->singular_values = svd.singular_values();
  list_svd_points(svd.singular_values());
  state_->factors = svd.factors(std::max<int64_t>(static_cast<int64_t>(points_.size()), 1));
}

int64_t Factorization::parameters(int64_t rank, int64_t inner) const {
  const auto& window = shape_.window;
  switch (method_) {
    case FactorMethod::kSpatial:
      return rank * (shape_.channels * window[0] + shape_.outputs * window[1]);
    case FactorMethod::kTucker:
      return inner * shape_.channels + rank * inner * shape_.taps() + shape_.outputs * rank;
    case FactorMethod::kChannel:
      break;
  }
  return rank * (shape_.channels * shape_.taps() + shape_.outputs);
}

void Factorization::list_svd_points(std::span<const double> singular_values) {
  double total = 0;
  for (const double value : singular_values) total += value * value;
  double left = total;
  for (int64_t rank = 1; rank <= static_cast<int64_t>(singular_values.size()); ++rank) {
    const int64_t size = parameters(rank, 0);
    if (size >= shape_.parameters()) break;
    const double value = singular_values[to_size(rank - 1)];
    left = std::max(left - value * value, 0.0);
    points_.push_back({rank, 0, size, total > 0 ? left / total : 0.0});
  }
}

void Factorization::list_tucker_points(int64_t multiple) {
  std::vector<FactorPoint> all;
  // Few channels are not worth a full multiple.
  const auto step = [&](int64_t full) {
    return multiple < full ? multiple : std::max<int64_t>(full / 4, 1);
  };
  const auto next = [&](int64_t rank, int64_t full) {
    return rank < full ? std::min(rank + step(full), full) : full + 1;
  };
  for (int64_t outer = step(shape_.outputs); outer <= shape_.outputs;
       outer = next(outer, shape_.outputs)) {
    for (int64_t inner = step(shape_.channels); inner <= shape_.channels;
         inner = next(inner, shape_.channels)) {
      const int64_t size = parameters(outer, inner);
      if (size >= shape_.parameters()) break;
      all.push_back({outer, inner, size, state_->tucker->lost(outer, inner)});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const FactorPoint& a, const FactorPoint& b) {
    return std::pair(a.parameters, a.lost) < std::pair(b.parameters, b.lost);
  });
  for (const FactorPoint& point : all) {
    if (points_.empty() || point.lost < points_.back().lost) points_.push_back(point);
  }
}

FactorPoint Factorization::point(int64_t rank) const {
  if (method_ == FactorMethod::kTucker) {
    const int64_t outer = std::min(rank, shape_.outputs), inner = std::min(rank, shape_.channels);
    return {outer, inner, parameters(outer, inner), state_->tucker->lost(outer, inner)};
  }
  const auto& values = state_->singular_values;
  rank = std::min(rank, static_cast<int64_t>(values.size()));
  return {rank, 0, parameters(rank, 0), lost_energy(values, rank)};
}

std::vector<Factor> Factorization::outline(const FactorPoint& point) const {
  const auto& window = shape_.window;
  const std::vector<int64_t> unit(window.size(), 1);
  const std::vector<bool> all(window.size(), true), none(window.size(), false);
  const int64_t outputs = shape_.outputs, channels = shape_.channels, rank = point.rank;
  switch (method_) {
    case FactorMethod::kTucker:
      return {{point.inner, channels, unit, none, {}},
              {rank, point.inner, window, all, {}},
              {outputs, rank, unit, none, {}}};
    case FactorMethod::kSpatial:
      return {{rank, channels, {window[0], 1}, {true, false}, {}},
              {outputs, rank, {1, window[1]}, {false, true}, {}}};
    case FactorMethod::kChannel:
      break;
  }
  return {{rank, channels, window, all, {}}, {outputs, rank, unit, none, {}}};
}

std::vector<Factor> Factorization::factors(const FactorPoint& point) const {
  std::vector<Factor> result = outline(point);
  const int64_t outputs = shape_.outputs, rank = point.rank;
  if (method_ == FactorMethod::kTucker) {
    TuckerFactors tucker = state_->tucker->factors(rank, point.inner);
    result[0].weight = std::move(tucker.first);
    result[1].weight = std::move(tucker.core);
    result[2].weight = std::move(tucker.last);
    return result;
  }
  const LowRankFactors factors = cut(state_->factors, rank);
  const auto rows = static_cast<int64_t>(factors.left.size()) / rank;
  result[0].weight = transposed(factors.left, rows, rank);
  if (method_ == FactorMethod::kChannel) {
    result[1].weight = transposed(factors.right, rank, outputs);
    return result;
  }
  // [rank, outputs, columns] -> [outputs, rank, columns]
  const int64_t columns = shape_.window[1];
  result[1].weight.resize(factors.right.size());
  for (int64_t r = 0; r < rank; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      std::copy_n(factors.right.begin() + (r * outputs + o) * columns, columns,
                  result[1].weight.begin() + (o * rank + r) * columns);
    }
  }
  return result;
}

std::vector<float> composed(FactorMethod method, std::span<const Factor> factors,
                            const KernelShape& shape) {
  const Factor& last = factors.back();
  const int64_t inputs = shape.channels * shape.taps();
  if (method == FactorMethod::kChannel) {
    return product(last.weight, factors[0].weight, shape.outputs, last.channels, inputs);
  }
  if (method == FactorMethod::kTucker) {
    const Factor& core = factors[1];
    const int64_t taps = shape.taps();
    // core [r1, r2, taps]: first takes r2 to channels, tap by tap; last takes r1 to outputs.
    std::vector<float> wide(to_size(core.outputs * inputs));
    for (int64_t a = 0; a < core.outputs; ++a) {
      const auto part =
          std::span(core.weight)
              .subspan(to_size(a * core.channels * taps), to_size(core.channels * taps));
      const auto turned = transposed(factors[0].weight, core.channels, shape.channels);
      const auto rows = product(turned, part, shape.channels, core.channels, taps);
      std::copy(rows.begin(), rows.end(), wide.begin() + a * inputs);
    }
    return product(last.weight, wide, shape.outputs, core.outputs, inputs);
  }
  const Factor& first = factors[0];
  const int64_t rank = first.outputs, columns = shape.window[1];
  const int64_t rows = shape.channels * shape.window[0];
  const auto left = transposed(first.weight, rank, rows);
  std::vector<float> result(to_size(shape.parameters()));
  for (int64_t o = 0; o < shape.outputs; ++o) {
    const auto right =
        std::span(last.weight).subspan(to_size(o * rank * columns), to_size(rank * columns));
    const auto part = product(left, right, rows, rank, columns);
    std::copy(part.begin(), part.end(), result.begin() + o * rows * columns);
  }
  return result;
}

// The output is linear in the last factor: X A^T last^T, where A are the kernels of what the last one
// reads. (A G A^T) last^T = A G W^T.
void refit_last(FactorMethod method, std::vector<Factor>& factors, const KernelShape& shape,
                std::span<const float> weights, std::span<const double> gram) {
  Factor& last = factors.back();
  const int64_t inputs = shape.channels * shape.taps(), outputs = shape.outputs;
  const int64_t features = static_cast<int64_t>(last.weight.size()) / outputs;
  std::vector<Factor> chain = factors;
  chain.back().outputs = features;
  chain.back().weight.assign(to_size(features * features), 0.0F);
  for (int64_t i = 0; i < features; ++i) chain.back().weight[to_size(i * (features + 1))] = 1;
  KernelShape inner = shape;
  inner.outputs = features;
  const std::vector<double> a = to_double(composed(method, chain, inner));

  std::vector<double> seen(a.size()), own(to_size(features * features));
  multiply(a, gram, features, inputs, inputs, seen);
  multiply(seen, to_double(transposed(to_float(a), features, inputs)), features, inputs, features, own);
  std::vector<double> wanted(to_size(features * outputs));
  multiply(seen, to_double(transposed(weights, outputs, inputs)), features, inputs, outputs, wanted);
  double trace = 0;
  for (int64_t i = 0; i < features; ++i) trace += own[to_size(i * (features + 1))];
  for (int64_t i = 0; i < features; ++i) {
    own[to_size(i * (features + 1))] += kRidge * trace / static_cast<double>(features);
  }
  if (!solve_positive(own, features, wanted, outputs)) return;
  last.weight = transposed(to_float(wanted), features, outputs);
}

double relative_loss(std::span<const float> weights, std::span<const float> changed,
                     int64_t outputs, std::span<const double> gram) {
  const int64_t inputs = static_cast<int64_t>(weights.size()) / std::max<int64_t>(outputs, 1);
  const std::vector<double> w = to_double(weights);
  std::vector<double> delta(w.size());
  for (size_t i = 0; i < w.size(); ++i) delta[i] = w[i] - static_cast<double>(changed[i]);
  const auto energy = [&](const std::vector<double>& matrix) {
    std::vector<double> seen = matrix;
    if (!gram.empty()) multiply(matrix, gram, outputs, inputs, inputs, seen);
    double sum = 0;
    for (size_t i = 0; i < matrix.size(); ++i) sum += matrix[i] * seen[i];
    return sum;
  };
  const double total = energy(w);
  return total > 0 ? std::max(energy(delta), 0.0) / total : 0.0;
}

}  // namespace mcompress::numerics
