// SPDX-License-Identifier: Apache-2.0
#include "numerics/ternary.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "mcompress/error.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kTaskElements = int64_t{1} << 18;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

template <class Fn>
void for_each_place(ChannelLayout layout, int64_t channel, Fn fn) {
  for (int64_t outer = 0; outer < layout.outer; ++outer) {
    const size_t from = to_size((outer * layout.channels + channel) * layout.inner);
    for (size_t i = 0; i < to_size(layout.inner); ++i) fn(from + i);
  }
}

struct Split {
  float threshold = 0;  ///< magnitudes from here on are kept
  float scale = 1;
};

/// The m largest magnitudes for which sum^2 / m is greatest.
Split best_split(std::vector<float>& magnitudes) {
  std::sort(magnitudes.begin(), magnitudes.end(), std::greater<>());
  double sum = 0, best = 0;
  Split split;
  for (size_t i = 0; i < magnitudes.size() && magnitudes[i] > 0; ++i) {
    sum += magnitudes[i];
    // Equal magnitudes are kept together: to take the next one, too, is never worse.
    const double gain = sum * sum / static_cast<double>(i + 1);
    if (gain < best) continue;
    best = gain;
    split = {magnitudes[i], static_cast<float>(sum / static_cast<double>(i + 1))};
  }
  return split;
}

template <class Fn>
QuantizedWeights by_channel(std::span<const float> weights, ChannelLayout layout, Fn fn) {
  if (const auto extent = min_max(weights); extent.non_finite > 0) {
    throw Error(ErrorCode::kModel, "weights hold " + std::to_string(extent.non_finite) +
                                       " NaN or infinite values");
  }
  QuantizedWeights result;
  result.values.resize(weights.size());
  result.scales.resize(to_size(layout.channels));
  const int64_t size = std::max<int64_t>(1, layout.outer * layout.inner);
  parallel_for(0, layout.channels, std::max<int64_t>(1, kTaskElements / size),
               [&](int64_t first, int64_t last) {
                 std::vector<float> magnitudes;
                 for (int64_t c = first; c < last; ++c) {
                   magnitudes.clear();
                   for_each_place(layout, c, [&](size_t at) {
                     magnitudes.push_back(std::abs(weights[at]));
                   });
                   result.scales[to_size(c)] = fn(c, magnitudes, result.values);
                 }
               });
  return result;
}

}  // namespace

QuantizedWeights quantize_ternary(std::span<const float> weights, ChannelLayout layout) {
  return by_channel(weights, layout,
                    [&](int64_t channel, std::vector<float>& magnitudes, std::vector<int8_t>& out) {
                      const Split split = best_split(magnitudes);
                      for_each_place(layout, channel, [&](size_t at) {
                        const float w = weights[at];
                        const bool kept = split.threshold > 0 && std::abs(w) >= split.threshold;
                        out[at] = static_cast<int8_t>(!kept ? 0 : w > 0 ? 1 : -1);
                      });
                      return split.scale;
                    });
}

QuantizedWeights quantize_binary(std::span<const float> weights, ChannelLayout layout) {
  return by_channel(weights, layout,
                    [&](int64_t channel, std::vector<float>& magnitudes, std::vector<int8_t>& out) {
                      double sum = 0;
                      for (const float m : magnitudes) sum += m;
                      for_each_place(layout, channel, [&](size_t at) {
                        out[at] = static_cast<int8_t>(weights[at] < 0 ? -1 : 1);
                      });
                      return static_cast<float>(sum / static_cast<double>(magnitudes.size()));
                    });
}

}  // namespace mcompress::numerics
