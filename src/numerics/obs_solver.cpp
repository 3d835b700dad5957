// SPDX-License-Identifier: Apache-2.0
#include "numerics/obs_solver.h"

#include <algorithm>
#include <cmath>

#include "numerics/linear_algebra.h"
#include "numerics/obs_sweeps.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kOutputsPerChunk = 64;
constexpr double kFirstPull = 0.1, kLastPull = 1.7;  // of the mask, where inputs have energy 1

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

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
  const double sweep =
      static_cast<double>(inputs) * static_cast<double>(inputs) * static_cast<double>(all_outputs);
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

// minimize |X (W - W0)|^2 + pull / 2 |W - D + P / pull|^2, D the projection of W + P / pull, P +=
// pull (W - D).
void ObsLayer::find_mask(const MaskRule& rule) {
  prepare_spectra();
  struct State {
    std::vector<double> target, projected, price, free;
  };
  std::vector<State> states(chunks_.size());
  const auto index_of = [&](const Chunk& chunk) {
    return static_cast<size_t>(&chunk - chunks_.data());
  };
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
        const size_t in_mask =
            position(chunk, static_cast<int64_t>(at / n), static_cast<int64_t>(at % n));
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
