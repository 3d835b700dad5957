// SPDX-License-Identifier: Apache-2.0
#pragma once

// What finding a mask and rounding on a grid both do with the weights of an ObsLayer; for its own
// .cpp files only.
#include <algorithm>

#include "numerics/obs_solver.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {

/// Inputs among which errors are passed on one by one.
inline constexpr int64_t kObsBlock = 64;

template <class Fn>
void ObsLayer::for_each_chunk(Fn fn) {
  parallel_for(0, static_cast<int64_t>(chunks_.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) fn(chunks_[static_cast<size_t>(c)]);
  });
}

/// choose(input, output of the chunk, best value) -> the value that the weight takes. Inside a
/// block of inputs the gradient is kept up to date at once, beyond it by one product a block.
template <class Choose>
void ObsLayer::sweep(Chunk& chunk, Choose choose) {
  const int64_t n = chunk.outputs;
  std::vector<double> gradient, delta;
  for (int64_t begin = 0; begin < inputs_; begin += kObsBlock) {
    const int64_t count = std::min(kObsBlock, inputs_ - begin);
    const double* start = chunk.gradient.data() + begin * n;
    gradient.assign(start, start + count * n);
    delta.assign(static_cast<size_t>(count * n), 0.0);
    bool changed = false;
    for (int64_t i = 0; i < count; ++i) {
      const double* couplings = chunk.gram + (begin + i) * inputs_ + begin;
      double* weight = chunk.weights.data() + (begin + i) * n;
      double* step = delta.data() + i * n;
      for (int64_t j = 0; j < n; ++j) {
        const double best = weight[j] - gradient[static_cast<size_t>(i * n + j)] / couplings[i];
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

}  // namespace mcompress::numerics
