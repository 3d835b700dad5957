// SPDX-License-Identifier: Apache-2.0
#include "numerics/pair_rule.h"

#include <cmath>
#include <cstdlib>
#include <vector>

#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int kPairLimit = 128;
constexpr int64_t kTaskElements = int64_t{1} << 16;

int excess(int a, int b) {
  const bool same_sign = (a > 0 && b > 0) || (a < 0 && b < 0);
  return same_sign ? std::abs(a + b) - kPairLimit : 0;
}

int towards_zero(int value, int by) { return value > 0 ? value - by : value + by; }

// How much of `excess` the first member takes: the minimum of wa x^2 + wb (excess - x)^2.
int share_of_first(int excess, double importance_a, double importance_b) {
  const double total = importance_a + importance_b;
  const double share = total > 0 ? importance_b / total : 0.5;
  return static_cast<int>(std::lround(excess * share));
}

bool pairs_overlap(const ReductionLayout& layout) {
  return layout.taps > 1 && layout.channels % 2 != 0;
}

// Calls fn(k, offset of k, offset of k + 1) for each pair of one output.
template <class Fn>
void for_each_pair(const ReductionLayout& layout, int64_t output, Fn fn) {
  const int64_t step = pairs_overlap(layout) ? 1 : 2;
  const auto offset = [&](int64_t k) {
    return static_cast<size_t>(layout.offset(output, k % layout.channels, k / layout.channels));
  };
  for (int64_t k = 0; k + 1 < layout.inputs(); k += step) {
    fn(static_cast<size_t>(k), offset(k), offset(k + 1));
  }
}

template <class Fn>
int64_t sum_over_outputs(const ReductionLayout& layout, Fn fn) {
  if (layout.inputs() < 2) return 0;
  std::vector<int64_t> counts(static_cast<size_t>(layout.outputs), 0);
  const int64_t grain = kTaskElements / layout.inputs() + 1;
  parallel_for(0, layout.outputs, grain, [&](int64_t first, int64_t last) {
    for (int64_t output = first; output < last; ++output) {
      counts[static_cast<size_t>(output)] = fn(output);
    }
  });
  int64_t total = 0;
  for (const int64_t count : counts) total += count;
  return total;
}

}  // namespace

int64_t count_pair_violations(std::span<const int8_t> weights, const ReductionLayout& layout) {
  return sum_over_outputs(layout, [&](int64_t output) {
    int64_t count = 0;
    for_each_pair(layout, output, [&](size_t, size_t a, size_t b) {
      if (excess(weights[a], weights[b]) > 0) ++count;
    });
    return count;
  });
}

int64_t enforce_pair_rule(std::span<int8_t> weights, const ReductionLayout& layout,
                          std::span<const float> importance) {
  const bool per_weight = importance.size() == weights.size();
  const auto importance_of = [&](size_t k, size_t offset) {
    if (importance.empty()) return 1.0;
    return static_cast<double>(importance[per_weight ? offset : k]);
  };
  return sum_over_outputs(layout, [&](int64_t output) {
    int64_t changed = 0;
    // Weights only shrink, so that a pair once mended stays so.
    for_each_pair(layout, output, [&](size_t k, size_t a, size_t b) {
      const int too_much = excess(weights[a], weights[b]);
      if (too_much <= 0) return;
      const int first = share_of_first(too_much, importance_of(k, a), importance_of(k + 1, b));
      const int second = too_much - first;
      weights[a] = static_cast<int8_t>(towards_zero(weights[a], first));
      weights[b] = static_cast<int8_t>(towards_zero(weights[b], second));
      changed += (first > 0 ? 1 : 0) + (second > 0 ? 1 : 0);
    });
    return changed;
  });
}

std::vector<std::array<int64_t, 2>> pair_partners(int64_t channels, int64_t taps) {
  const ReductionLayout layout = ReductionLayout::conv(1, channels, taps);
  std::vector<std::array<int64_t, 2>> partners(static_cast<size_t>(layout.inputs()), {-1, -1});
  const auto add = [&](size_t of, size_t partner) {
    auto& known = partners[of];
    known[known[0] < 0 ? 0 : 1] = static_cast<int64_t>(partner);
  };
  for_each_pair(layout, 0, [&](size_t, size_t a, size_t b) {
    add(a, b);
    add(b, a);
  });
  return partners;
}

int pair_limit(int code, int partner) {
  const bool same_sign = (code > 0 && partner > 0) || (code < 0 && partner < 0);
  return same_sign ? kPairLimit - std::abs(partner) : kPairLimit;
}

}  // namespace mcompress::numerics
