// SPDX-License-Identifier: Apache-2.0
#include "numerics/obs_solver.h"

#include <algorithm>
#include <cmath>

#include "numerics/linear_algebra.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kOutputsPerChunk = 64;
constexpr int64_t kBlock = 64;
constexpr size_t kMostSteps = 6;  // of conjugate gradients
constexpr double kFirstPull = 0.1, kLastPull = 1.7;  // of the mask, where inputs have energy 1
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

MaskRule sparsity_rule(double sparsity) {
  return [sparsity](std::span<const float> scores) {
    const ScoredLayer layer{scores};
    const int64_t count = prune_count(static_cast<int64_t>(scores.size()), sparsity);
    return std::move(prune_lowest({&layer, 1}, count)[0]);
  };
}

MaskRule n_of_m_rule(int64_t inputs, int64_t outputs, int64_t taps, int n, int m) {
  const ReductionLayout layout{outputs, inputs / taps, taps, 1, taps * outputs, outputs};
  return [=](std::span<const float> scores) {
    Mask mask;
    for (size_t at = 0; at < scores.size(); at += to_size(inputs * outputs)) {
      const Mask part = n_of_m_mask(scores.subspan(at, to_size(inputs * outputs)), layout, n, m);
      mask.insert(mask.end(), part.begin(), part.end());
    }
    return mask;
  };
}

ObsOptions obs_options(int64_t inputs, int64_t all_outputs, double damping) {
  const double sweep = static_cast<double>(inputs) * static_cast<double>(inputs) *
                       static_cast<double>(all_outputs);
  if (sweep > 4e9) return {damping, 8, 2, 2};
  if (sweep > 1e9) return {damping, 15, 4, 4};
  return {damping, 30, 8, 8};
}

ObsLayer::ObsLayer(std::span<const LayerProblem> groups, const ObsOptions& options)
    : inputs_(groups.front().inputs), outputs_(groups.front().outputs), options_(options) {
  usable_ = true;
  grams_ = std::make_shared<std::vector<std::vector<double>>>();
  size_t offset = 0;
  int64_t first_of_group = 0;
  for (const LayerProblem& group : groups) {
    std::vector<double>& gram = grams_->emplace_back(group.gram.begin(), group.gram.end());
    double mean = 0;
    for (int64_t i = 0; i < inputs_; ++i) {
      mean += gram[to_size(i * (inputs_ + 1))] / static_cast<double>(inputs_);
    }
    usable_ = usable_ && std::isfinite(mean) &&
              std::all_of(group.weights.begin(), group.weights.end(),
                          [](float w) { return std::isfinite(w); });
    if (mean <= 0) mean = 1;
    for (int64_t i = 0; i < inputs_; ++i) {
      gram[to_size(i * (inputs_ + 1))] += std::max(options.damping, 1e-9) * mean;
    }
    for (int64_t first = 0; first < outputs_; first += kOutputsPerChunk) {
      Chunk& chunk = chunks_.emplace_back();
      chunk.gram = gram.data();
      chunk.group = grams_->size() - 1;
      chunk.first = first_of_group + first;
      chunk.offset = offset + to_size(first);
      chunk.outputs = std::min(kOutputsPerChunk, outputs_ - first);
      for (int64_t i = 0; i < inputs_; ++i) {
        const float* row = group.weights.data() + i * outputs_ + first;
        chunk.original.insert(chunk.original.end(), row, row + chunk.outputs);
      }
      chunk.weights = chunk.original;
      chunk.gradient.assign(chunk.weights.size(), 0.0);
    }
    offset += group.weights.size();
    first_of_group += outputs_;
  }
  mask_.assign(offset, 1);
}

template <class Fn>
void ObsLayer::for_each_chunk(Fn fn) {
  parallel_for(0, static_cast<int64_t>(chunks_.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) fn(chunks_[to_size(c)]);
  });
}

void ObsLayer::add_product(const Chunk& chunk, std::span<const double> delta, int64_t begin,
                           int64_t count, std::span<double> out) const {
  std::vector<double> negative(delta.begin(), delta.end());
  for (double& d : negative) d = -d;
  subtract_product({chunk.gram + begin * inputs_, to_size(count * inputs_)}, inputs_, negative,
                   inputs_, count, chunk.outputs, out);
}

void ObsLayer::recompute_gradient(Chunk& chunk) const {
  std::vector<double> difference(chunk.weights.size());
  for (size_t i = 0; i < difference.size(); ++i) {
    difference[i] = chunk.weights[i] - chunk.original[i];
  }
  std::fill(chunk.gradient.begin(), chunk.gradient.end(), 0.0);
  add_product(chunk, difference, 0, inputs_, chunk.gradient);
}

/// choose(input, output of the chunk, best value) -> the value that the weight takes. Inside a block
/// of inputs the gradient is kept up to date at once, beyond it by one product a block.
template <class Choose>
void ObsLayer::sweep(Chunk& chunk, Choose choose) {
  const int64_t n = chunk.outputs;
  std::vector<double> gradient, delta;
  for (int64_t begin = 0; begin < inputs_; begin += kBlock) {
    const int64_t count = std::min(kBlock, inputs_ - begin);
    const double* start = chunk.gradient.data() + begin * n;
    gradient.assign(start, start + count * n);
    delta.assign(to_size(count * n), 0.0);
    bool changed = false;
    for (int64_t i = 0; i < count; ++i) {
      const double* couplings = chunk.gram + (begin + i) * inputs_ + begin;
      double* weight = chunk.weights.data() + (begin + i) * n;
      double* step = delta.data() + i * n;
      for (int64_t j = 0; j < n; ++j) {
        const double best = weight[j] - gradient[to_size(i * n + j)] / couplings[i];
        const double value = choose(begin + i, j, best);
        step[j] = value - weight[j];
        weight[j] = value;
        changed |= step[j] != 0;
      }
      for (int64_t later = i + 1; later < count; ++later) {
        double* target = gradient.data() + later * n;
        for (int64_t j = 0; j < n; ++j) target[j] += couplings[later] * step[j];
      }
    }
    if (changed) add_product(chunk, delta, begin, count, chunk.gradient);
  }
}

template <class Choose>
void ObsLayer::sweep_all(Choose choose) {
  for_each_chunk([&](Chunk& chunk) {
    sweep(chunk, [&](int64_t input, int64_t output, double best) {
      if (mask_[position(chunk, input, output)] == 0) return 0.0;
      return choose(chunk.first + output, best);
    });
  });
}

std::vector<float> ObsLayer::importance() const {
  std::vector<float> result(mask_.size());
  for (const Chunk& chunk : chunks_) {
    for (int64_t i = 0; i < inputs_; ++i) {
      std::fill_n(result.begin() + static_cast<ptrdiff_t>(position(chunk, i, 0)), chunk.outputs,
                  static_cast<float>(chunk.gram[i * (inputs_ + 1)]));
    }
  }
  return result;
}

void ObsLayer::prepare_spectra() {
  if (spectra_) return;
  spectra_ = std::make_shared<std::vector<Spectrum>>(grams_->size());
  for (size_t g = 0; g < grams_->size(); ++g) {
    Spectrum& spectrum = (*spectra_)[g];
    spectrum.vectors = (*grams_)[g];
    for (int64_t i = 0; i < inputs_; ++i) {
      spectrum.scale.push_back(std::sqrt(spectrum.vectors[to_size(i * (inputs_ + 1))]));
    }
    for (int64_t i = 0; i < inputs_; ++i) {
      for (int64_t j = 0; j < inputs_; ++j) {
        spectrum.vectors[to_size(i * inputs_ + j)] /=
            spectrum.scale[to_size(i)] * spectrum.scale[to_size(j)];
      }
    }
    spectrum.values = symmetric_eigen(spectrum.vectors, inputs_);
  }
}

// minimize |X (W - W0)|^2 + pull / 2 |W - D + P / pull|^2, D the projection of W + P / pull, P += pull (W - D).
void ObsLayer::find_mask(const MaskRule& rule) {
  prepare_spectra();
  struct State {
    std::vector<double> target, projected, price, free;
  };
  std::vector<State> states(chunks_.size());
  const auto index_of = [&](const Chunk& chunk) { return static_cast<size_t>(&chunk - chunks_.data()); };
  for_each_chunk([&](Chunk& chunk) {
    State& state = states[index_of(chunk)];
    const std::vector<double>& scale = (*spectra_)[chunk.group].scale;
    const size_t n = to_size(chunk.outputs);
    state.target.assign(chunk.original.size(), 0.0);
    add_product(chunk, chunk.original, 0, inputs_, state.target);
    state.projected = chunk.original;
    for (size_t at = 0; at < state.target.size(); ++at) {
      state.target[at] /= scale[at / n];
      state.projected[at] *= scale[at / n];
    }
    state.price.assign(state.target.size(), 0.0);
    state.free.assign(state.target.size(), 0.0);
  });
  double pull = kFirstPull;
  const double growth = std::pow(kLastPull / kFirstPull, 1.0 / std::max(options_.mask_steps, 1));
  std::vector<float> scores(mask_.size());
  for (int step = 0; step < std::max(options_.mask_steps, 1); ++step, pull *= growth) {
    for_each_chunk([&](Chunk& chunk) {
      State& state = states[index_of(chunk)];
      const Spectrum& spectrum = (*spectra_)[chunk.group];
      const size_t n = to_size(chunk.outputs);
      std::vector<double> side(state.target.size()), turned(state.target.size());
      for (size_t at = 0; at < side.size(); ++at) {
        side[at] = state.target[at] + pull * state.projected[at] - state.price[at];
      }
      multiply(spectrum.vectors, side, inputs_, inputs_, chunk.outputs, turned);
      for (size_t at = 0; at < turned.size(); ++at) {
        turned[at] /= std::max(spectrum.values[at / n], 0.0) + pull;
      }
      multiply_transposed(spectrum.vectors, turned, inputs_, inputs_, chunk.outputs, state.free);
      for (size_t at = 0; at < side.size(); ++at) {
        const double value = state.free[at] + state.price[at] / pull;
        scores[position(chunk, static_cast<int64_t>(at / n), static_cast<int64_t>(at % n))] =
            static_cast<float>(value * value);
      }
    });
    mask_ = rule(scores);
    for_each_chunk([&](Chunk& chunk) {
      State& state = states[index_of(chunk)];
      const size_t n = to_size(chunk.outputs);
      for (size_t at = 0; at < state.free.size(); ++at) {
        const size_t in_mask = position(chunk, static_cast<int64_t>(at / n), static_cast<int64_t>(at % n));
        state.projected[at] = mask_[in_mask] != 0 ? state.free[at] + state.price[at] / pull : 0.0;
        state.price[at] += pull * (state.free[at] - state.projected[at]);
      }
    });
  }
  for_each_chunk([&](Chunk& chunk) {
    const State& state = states[index_of(chunk)];
    const std::vector<double>& scale = (*spectra_)[chunk.group].scale;
    for (size_t at = 0; at < chunk.weights.size(); ++at) {
      chunk.weights[at] = state.projected[at] / scale[at / to_size(chunk.outputs)];
    }
    recompute_gradient(chunk);
  });
}

void ObsLayer::prune(const MaskRule& rule) {
  find_mask(rule);
  for (int step = 0; step < options_.refit_sweeps; ++step) {
    sweep_all([](int64_t, double best) { return best; });
  }
}

void ObsLayer::keep_zeros() {
  for (const Chunk& chunk : chunks_) {
    for (int64_t i = 0; i < inputs_; ++i) {
      for (int64_t j = 0; j < chunk.outputs; ++j) {
        const double weight = chunk.weights[to_size(i * chunk.outputs + j)];
        mask_[position(chunk, i, j)] = weight != 0 ? 1 : 0;
      }
    }
  }
}

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
  for (int64_t begin = 0; begin < inputs_; begin += kBlock) {
    const int64_t count = std::min(kBlock, inputs_ - begin);
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
    subtract_product({chunk.factor + begin * inputs_ + begin + count,
                      to_size((count - 1) * inputs_ + rest)},
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

std::vector<float> ObsLayer::weights() const {
  std::vector<float> result(mask_.size());
  for (const Chunk& chunk : chunks_) {
    for (int64_t i = 0; i < inputs_; ++i) {
      for (int64_t j = 0; j < chunk.outputs; ++j) {
        result[position(chunk, i, j)] =
            static_cast<float>(chunk.weights[to_size(i * chunk.outputs + j)]);
      }
    }
  }
  return result;
}

double ObsLayer::error() const {
  double error = 0;
  for (const Chunk& chunk : chunks_) {
    for (size_t at = 0; at < chunk.weights.size(); ++at) {
      error += (chunk.weights[at] - chunk.original[at]) * chunk.gradient[at];
    }
  }
  return std::max(error, 0.0);
}

double ObsLayer::energy() const {
  double energy = 0;
  for (const Chunk& chunk : chunks_) {
    std::vector<double> image(chunk.original.size(), 0.0);
    add_product(chunk, chunk.original, 0, inputs_, image);
    for (size_t at = 0; at < image.size(); ++at) energy += chunk.original[at] * image[at];
  }
  return energy;
}

}  // namespace mcompress::numerics
