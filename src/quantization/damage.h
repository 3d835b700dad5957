// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mcompress/runtime_service.h"
#include "mcompress/tensor.h"

namespace mcompress::quantization {

/// How far the outputs of a model are from those of another: for outputs that are probabilities
/// along the last axis the mean Kullback-Leibler divergence in nats, for others the noise power
/// over the signal power. Over several outputs the worst.
class DamageMeter {
 public:
  void add(std::span<const Tensor> reference, std::span<const Tensor> candidate);
  double value() const;

 private:
  struct Output {
    double divergence = 0;
    double rows = 0;
    double noise = 0, signal = 0;
    bool probabilities = true;
  };
  std::vector<Output> outputs_;
};

/// Measures the damage of candidates against one model on some samples of its data, evenly spread.
class DamageProbe {
 public:
  DamageProbe(const Model& reference, RuntimeService& runtime, const Dataset& data, size_t samples,
              int threads);
  /// On at most so many of the samples, evenly spread.
  double damage(const Model& candidate, size_t at_most = SIZE_MAX);

 private:
  RuntimeService& runtime_;
  int threads_;
  std::vector<Feeds> feeds_;
  std::vector<std::vector<Tensor>> expected_;  ///< outputs of the reference on `feeds_`
};

/// The least count in 0..`most` whose damage is within the tolerance, damage falling as the count
/// grows; `most` where none is. Few things carry nearly all of it, so the lower end is looked at
/// more closely. At most `evaluations` calls.
size_t least_count(size_t most, double tolerance, int evaluations,
                   const std::function<double(size_t count)>& damage);

}  // namespace mcompress::quantization
