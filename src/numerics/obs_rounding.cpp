// SPDX-License-Identifier: Apache-2.0
//
// ObsLayer::round: weights on a grid of few values, the grid refitted to them.
#include <algorithm>
#include <cmath>
#include <functional>

#include "numerics/linear_algebra.h"
#include "numerics/obs_sweeps.h"

namespace mcompress::numerics {
namespace {

constexpr size_t kMostSteps = 6;  // of conjugate gradients
constexpr int kRefits = 3;        // of a grid while weights settle, and one at the end

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// Nearest value of a grid, or zero.
class Nearest {
 public:
  explicit Nearest(const std::vector<float>& values) : values_(values.begin(), values.end()) {
    values_.push_back(0);
    std::sort(values_.begin(), values_.end());
    for (size_t i = 0; i + 1 < values_.size(); ++i) {
      between_.push_back((values_[i] + values_[i + 1]) / 2);
    }
  }
  /// Index among all values, zero included.
  size_t index(double value) const {
    return static_cast<size_t>(std::lower_bound(between_.begin(), between_.end(), value) -
                               between_.begin());
  }
  double operator()(double value) const { return values_[index(value)]; }
  const std::vector<double>& values() const { return values_; }

 private:
  std::vector<double> values_;
  std::vector<double> between_;
};

double scale_of(const SharedGrid& grid, int64_t output) {
  return grid.scales.empty() ? 1.0 : static_cast<double>(grid.scales[to_size(output)]);
}

}  // namespace

void ObsLayer::factor_grams() {
  if (factors_) return;
  factors_ = std::make_shared<std::vector<std::vector<double>>>(*grams_);
  const size_t chunks = chunks_.size() / factors_->size();
  for (size_t g = 0; g < factors_->size(); ++g) {
    std::vector<double>& factor = (*factors_)[g];
    if (!inverse_cholesky(factor, inputs_)) continue;
    for (size_t c = g * chunks; c < (g + 1) * chunks; ++c) chunks_[c].factor = factor.data();
  }
}

// GPTQ with a mask: inputs in their order, later ones take up the error. Without a factor, rounding
// to nearest.
void ObsLayer::round_in_order(Chunk& chunk, const SharedGrid& grid) const {
  const int64_t n = chunk.outputs;
  const Nearest nearest(grid.values);
  std::vector<double> errors;
  for (int64_t begin = 0; begin < inputs_; begin += kObsBlock) {
    const int64_t count = std::min(kObsBlock, inputs_ - begin);
    errors.assign(to_size(count * n), 0.0);
    for (int64_t i = 0; i < count; ++i) {
      const double* couplings =
          chunk.factor == nullptr ? nullptr : chunk.factor + (begin + i) * inputs_ + begin;
      double* row = chunk.weights.data() + (begin + i) * n;
      double* error = errors.data() + i * n;
      for (int64_t j = 0; j < n; ++j) {
        const double scale = scale_of(grid, chunk.first + j);
        const bool kept = mask_[position(chunk, begin + i, j)] != 0;
        const double value = kept ? nearest(row[j] / scale) * scale : 0.0;
        if (couplings != nullptr) error[j] = (row[j] - value) / couplings[i];
        row[j] = value;
      }
      if (couplings == nullptr) continue;
      for (int64_t later = i + 1; later < count; ++later) {
        double* target = row + (later - i) * n;
        for (int64_t j = 0; j < n; ++j) target[j] -= couplings[later] * error[j];
      }
    }
    const int64_t rest = inputs_ - begin - count;
    if (rest == 0 || chunk.factor == nullptr) continue;
    subtract_product(
        {chunk.factor + begin * inputs_ + begin + count, to_size((count - 1) * inputs_ + rest)},
        inputs_, errors, rest, count, n,
        {chunk.weights.data() + (begin + count) * n, to_size(rest * n)});
  }
}

void ObsLayer::polish(const SharedGrid& grid, int sweeps) {
  const Nearest nearest(grid.values);
  for (int i = 0; i < sweeps; ++i) {
    sweep_all([&](int64_t output, double best) {
      const double scale = scale_of(grid, output);
      return nearest(best / scale) * scale;
    });
  }
}

SharedGrid ObsLayer::round(const SharedGrid& start) {
  SharedGrid grid = start;
  factor_grams();
  for_each_chunk([&](Chunk& chunk) {
    round_in_order(chunk, grid);
    recompute_gradient(chunk);
  });
  for (int step = 0; step < options_.round_sweeps; ++step) {
    if (grid.refit_values && step < kRefits) refit_values(grid);
    if (grid.refit_scales && step < kRefits) refit_scales(grid);
    if (grid.whole_steps > 0 && step + 2 >= options_.round_sweeps) {
      snap_values(grid);
      grid.refit_values = false;
    }
    polish(grid, 1);
  }
  if (grid.refit_values) refit_values(grid);
  if (grid.refit_scales) refit_scales(grid);
  return grid;
}

/// Gives each weight the new value of its code.
void ObsLayer::replace_values(SharedGrid& grid, const std::vector<float>& values) {
  const Nearest before(grid.values), after(values);
  if (before.values().size() != after.values().size()) return;
  for_each_chunk([&](Chunk& chunk) {
    for (size_t at = 0; at < chunk.weights.size(); ++at) {
      if (chunk.weights[at] == 0) continue;
      const double scale = scale_of(grid, chunk.first + static_cast<int64_t>(at) % chunk.outputs);
      chunk.weights[at] = after.values()[before.index(chunk.weights[at] / scale)] * scale;
    }
    recompute_gradient(chunk);
  });
  grid.values = values;
}

void ObsLayer::snap_values(SharedGrid& grid) {
  double largest = 0;
  for (const float v : grid.values) largest = std::max(largest, std::abs(static_cast<double>(v)));
  const double step = largest / grid.whole_steps;
  std::vector<float> snapped;
  for (const float v : grid.values) {
    // Small ones stay apart from zero, and neighbours from each other.
    double whole = std::nearbyint(v / step);
    if (whole == 0) whole = v < 0 ? -1 : 1;
    if (!snapped.empty() && whole <= snapped.back()) whole = snapped.back() + 1.0;
    if (whole == 0) whole = 1;
    snapped.push_back(static_cast<float>(whole));
  }
  if (!snapped.empty() && snapped.back() > static_cast<float>(grid.whole_steps)) return;
  for (float& s : grid.scales) s = static_cast<float>(s * step);
  for (float& v : grid.values) v = static_cast<float>(v / step);
  replace_values(grid, snapped);
}

// Conjugate gradients on the normal equations of the values, everything else fixed.
void ObsLayer::refit_values(SharedGrid& grid) {
  const Nearest nearest(grid.values);
  const size_t count = nearest.values().size();
  // Sums of scale * get(chunk, at) by value, in the order of the chunks.
  const auto per_value = [&](auto get) {
    std::vector<double> sums(count, 0.0);
    for (size_t c = 0; c < chunks_.size(); ++c) {
      const Chunk& chunk = chunks_[c];
      for (size_t at = 0; at < chunk.weights.size(); ++at) {
        if (chunk.weights[at] == 0) continue;
        const double scale = scale_of(grid, chunk.first + static_cast<int64_t>(at) % chunk.outputs);
        sums[nearest.index(chunk.weights[at] / scale)] += scale * get(c, at, scale);
      }
    }
    return sums;
  };
  std::vector<double> residual =
      per_value([&](size_t c, size_t at, double) { return -chunks_[c].gradient[at]; });
  const std::vector<double> diagonal = per_value([&](size_t c, size_t at, double scale) {
    const int64_t i = static_cast<int64_t>(at) / chunks_[c].outputs;
    return scale * chunks_[c].gram[i * (inputs_ + 1)];
  });
  std::vector<double> change(count, 0.0), direction(count, 0.0);
  std::vector<std::vector<double>> product(chunks_.size());
  double last = 0;
  for (size_t step = 0; step < std::min(count, kMostSteps); ++step) {
    double now = 0;
    std::vector<double> scaled(count, 0.0);
    for (size_t v = 0; v < count; ++v) {
      if (diagonal[v] > 0) scaled[v] = residual[v] / diagonal[v];
      now += scaled[v] * residual[v];
    }
    if (!(now > 0)) break;
    for (size_t v = 0; v < count; ++v) {
      direction[v] = scaled[v] + (step == 0 ? 0 : now / last) * direction[v];
    }
    last = now;
    for_each_chunk([&](Chunk& chunk) {
      std::vector<double> delta(chunk.weights.size(), 0.0);
      for (size_t at = 0; at < delta.size(); ++at) {
        if (chunk.weights[at] == 0) continue;
        const double scale = scale_of(grid, chunk.first + static_cast<int64_t>(at) % chunk.outputs);
        delta[at] = scale * direction[nearest.index(chunk.weights[at] / scale)];
      }
      std::vector<double>& out = product[static_cast<size_t>(&chunk - chunks_.data())];
      out.assign(delta.size(), 0.0);
      add_product(chunk, delta, 0, inputs_, out);
    });
    const std::vector<double> image =
        per_value([&](size_t c, size_t at, double) { return product[c][at]; });
    double curvature = 0;
    for (size_t v = 0; v < count; ++v) curvature += direction[v] * image[v];
    if (!(curvature > 0)) break;
    for (size_t v = 0; v < count; ++v) {
      change[v] += now / curvature * direction[v];
      residual[v] -= now / curvature * image[v];
    }
  }
  // As floats, and only while order and signs stay.
  std::vector<float> changed;
  for (size_t v = 0; v < count; ++v) {
    const double before = nearest.values()[v];
    if (before == 0) continue;
    changed.push_back(static_cast<float>(before + change[v]));
    if (before * changed.back() <= 0) return;
  }
  if (std::adjacent_find(changed.begin(), changed.end(), std::greater_equal<>()) == changed.end()) {
    replace_values(grid, changed);
  }
}

/// s = c^T H w0 / c^T H c for the codes c of each output.
void ObsLayer::refit_scales(SharedGrid& grid) {
  for_each_chunk([&](Chunk& chunk) {
    std::vector<double> image(chunk.weights.size(), 0.0);
    add_product(chunk, chunk.weights, 0, inputs_, image);
    for (int64_t j = 0; j < chunk.outputs; ++j) {
      double target = 0, own = 0;
      for (int64_t i = 0; i < inputs_; ++i) {
        const size_t at = to_size(i * chunk.outputs + j);
        target += chunk.weights[at] * (image[at] - chunk.gradient[at]);
        own += chunk.weights[at] * image[at];
      }
      const double factor = own > 0 ? target / own : 1;
      float& scale = grid.scales[to_size(chunk.first + j)];
      const auto refitted = static_cast<float>(scale * factor);
      if (!(factor > 0.5 && factor < 2) || !(refitted > 0)) continue;
      const double exact = static_cast<double>(refitted) / scale;
      for (int64_t i = 0; i < inputs_; ++i) chunk.weights[to_size(i * chunk.outputs + j)] *= exact;
      scale = refitted;
    }
    recompute_gradient(chunk);
  });
}

}  // namespace mcompress::numerics
