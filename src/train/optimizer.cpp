// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <cmath>
#include <numbers>

#include "support/parallel_for.h"
#include "train/flush_denormals.h"

namespace mcompress::train {
namespace {

constexpr double kEpsilon = 1e-8;
/// Elements that one thread does at a time.
constexpr int64_t kGrain = 32768;

/// Factors of one step of Adam, in the leaf's precision.
template <class T>
struct AdamFactors {
  T beta1, beta2, rate, root2, decay, shrink, scale;
};

/// `w`, `m`, `v` and `g` do not overlap, which lets the compiler use vectors.
template <class T>
void adam(T* __restrict w, T* __restrict m, T* __restrict v, const T* __restrict g, int64_t count,
          const AdamFactors<T>& f) {
  for (int64_t i = 0; i < count; ++i) {
    const T old = w[i] * f.shrink;
    const T gradient = g[i] * f.scale + f.decay * old;
    m[i] = f.beta1 * m[i] + (1 - f.beta1) * gradient;
    v[i] = f.beta2 * v[i] + (1 - f.beta2) * gradient * gradient;
    w[i] = old - f.rate * m[i] / (std::sqrt(v[i]) * f.root2 + static_cast<T>(kEpsilon));
  }
}

template <class T>
void momentum(T* __restrict w, T* __restrict m, const T* __restrict g, int64_t count, T rate, T mu,
              T decay, T scale) {
  for (int64_t i = 0; i < count; ++i) {
    m[i] = mu * m[i] + (g[i] * scale + decay * w[i]);
    w[i] -= rate * m[i];
  }
}

template <class T>
double squares(const T* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

double norm_of(std::span<const at::Tensor> gradients) {
  double sum = 0;
  for (const at::Tensor& gradient : gradients) {
    if (!gradient.defined()) continue;
    const int64_t count = gradient.numel();
    std::vector<double> parts(static_cast<size_t>((count + kGrain - 1) / kGrain));
    AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "norm_of", [&] {
      const auto* const data = gradient.data_ptr<scalar_t>();
      parallel_for(0, count, kGrain, [&](int64_t first, int64_t last) {
        const FlushDenormals flush;
        parts[static_cast<size_t>(first / kGrain)] = squares(data + first, last - first);
      });
    });
    for (const double part : parts) sum += part;
  }
  return std::sqrt(sum);
}

}  // namespace

double learning_rate(const RateOptions& options, double rate, size_t step, size_t steps) {
  const auto at = static_cast<double>(step);
  const auto all = static_cast<double>(steps);
  const double warm = std::floor(options.warmup * all);
  if (at < warm) return rate * (at + 1) / warm;
  const double share = all > warm ? (at - warm) / (all - warm) : 0;
  switch (options.schedule) {
    case RateSchedule::kConstant:
      return rate;
    case RateSchedule::kCosine:
      return rate *
             (options.last + (1 - options.last) * (1 + std::cos(std::numbers::pi * share)) / 2);
    case RateSchedule::kLinear:
      return rate * (1 - (1 - options.last) * share);
    case RateSchedule::kStep:
      // The small amount makes up for shares such as 0.3 that are no binary fractions.
      return rate * std::pow(options.step_factor, std::floor(at / all / options.step_every + 1e-9));
  }
  return rate;
}

Optimizer::Optimizer(const OptimizerOptions& options, std::vector<at::Tensor> leaves,
                     std::vector<bool> decays)
    : options_(options), leaves_(std::move(leaves)), decays_(std::move(decays)) {
  const int kinds = options_.kind == OptimizerKind::kSgd ? 1 : 2;
  for (int kind = 0; kind < kinds; ++kind) {
    for (const at::Tensor& leaf : leaves_) moments_.push_back(at::zeros_like(leaf));
  }
}

double Optimizer::step(std::span<const at::Tensor> gradients, double rate) {
  std::vector<at::Tensor> plain;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    plain.push_back(gradients[i].defined() ? gradients[i].detach().contiguous() : at::Tensor());
  }
  const double norm = norm_of(plain);
  if (!std::isfinite(norm)) return norm;
  const double scale =
      options_.clip_norm > 0 && norm > options_.clip_norm ? options_.clip_norm / norm : 1;
  ++steps;
  const auto time = static_cast<double>(steps);
  const double correct1 = 1 - std::pow(options_.momentum, time);
  const double correct2 = 1 - std::pow(options_.beta2, time);
  for (size_t i = 0; i < leaves_.size(); ++i) {
    if (!plain[i].defined()) plain[i] = at::zeros_like(leaves_[i]);
    const double decay = decays_[i] ? options_.weight_decay : 0;
    const bool decoupled = options_.kind == OptimizerKind::kAdamW;
    AT_DISPATCH_FLOATING_TYPES(leaves_[i].scalar_type(), "step", [&] {
      auto* const w = leaves_[i].data_ptr<scalar_t>();
      auto* const m = moments_[i].data_ptr<scalar_t>();
      const auto* const g = plain[i].data_ptr<scalar_t>();
      const auto value = [](double number) { return static_cast<scalar_t>(number); };
      parallel_for(0, leaves_[i].numel(), kGrain, [&](int64_t first, int64_t last) {
        const FlushDenormals flush;
        if (options_.kind == OptimizerKind::kSgd) {
          momentum(w + first, m + first, g + first, last - first, value(rate),
                   value(options_.momentum), value(decay), value(scale));
          return;
        }
        auto* const v = moments_[leaves_.size() + i].data_ptr<scalar_t>();
        const AdamFactors<scalar_t> factors = {.beta1 = value(options_.momentum),
                                               .beta2 = value(options_.beta2),
                                               .rate = value(rate / correct1),
                                               .root2 = value(1 / std::sqrt(correct2)),
                                               .decay = value(decoupled ? 0 : decay),
                                               .shrink = value(decoupled ? 1 - rate * decay : 1),
                                               .scale = value(scale)};
        adam(w + first, m + first, v + first, g + first, last - first, factors);
      });
    });
  }
  return norm;
}

}  // namespace mcompress::train
