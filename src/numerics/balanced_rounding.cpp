// SPDX-License-Identifier: Apache-2.0
#include "numerics/balanced_rounding.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "numerics/quantize_simd.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kTaskElements = int64_t{1} << 18;
/// Weights of a group of columns that stay in the cache; the columns whose integers fill a line.
constexpr int64_t kCachedElements = int64_t{1} << 18;
constexpr int64_t kLine = 64;

constexpr size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// One channel, its values one after the other: `errors` = weight / scale - code.
class Balancer {
 public:
  explicit Balancer(IntRange range) : range_(range) {}

  /// Calls change(position, +1 or -1) for the roundings to turn.
  template <class Codes, class Change>
  void balance(std::span<const float> errors, Codes codes, Change change) {
    double sum = 0;
    for (const float e : errors) sum += e;
    const auto wanted = static_cast<int64_t>(std::llround(std::abs(sum)));
    if (wanted == 0) return;
    const float sign = sum > 0 ? 1.0F : -1.0F;
    // Those near a half are what is turned; nearly always there are enough of them.
    for (const float least : {0.35F, 0.0F}) {
      candidates_.clear();
      for (size_t at = 0; at < errors.size(); ++at) {
        const float error = errors[at] * sign;
        if (error > least) candidates_.push_back({error, at});
      }
      const bool all = least == 0;
      if (turn_best(candidates_, wanted, sum > 0 ? 1 : -1, codes, change, all)) return;
    }
  }

  struct Candidate {
    float error;
    size_t at;
  };
  /// False, and nothing is changed, where there are too few candidates that may be turned, unless
  /// these are `all` that there are.
  template <class Codes, class Change>
  bool turn_best(std::vector<Candidate>& candidates, int64_t wanted, int step, Codes codes,
                 Change change, bool all = false) const {
    std::erase_if(candidates, [&](const Candidate& one) {
      const int code = codes(one.at) + step;
      return one.error > 0.5F || code < range_.min || code > range_.max;
    });
    if (candidates.size() < to_size(wanted) && !all) return false;
    const size_t count = std::min(candidates.size(), to_size(wanted));
    const auto most_first = [](const Candidate& a, const Candidate& b) {
      return a.error != b.error ? a.error > b.error : a.at < b.at;
    };
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<int64_t>(count),
                     candidates.end(), most_first);
    for (size_t i = 0; i < count; ++i) change(candidates[i].at, step);
    return true;
  }

 private:
  IntRange range_;
  std::vector<Candidate> candidates_;
};

struct Channel {
  float inverse = 1;
  float zero_point = 0;
};

Channel channel_at(std::span<const float> scales, std::span<const int32_t> zero_points, int64_t c) {
  const float zero = zero_points.empty() ? 0.0F : static_cast<float>(zero_points[to_size(c)]);
  return {1.0F / scales[to_size(c)], zero};
}

/// Some columns of a matrix, copied together so that they stay in the cache: the sums of their
/// errors first, then, with the direction known, the few weights that are near enough to a half.
class ColumnGroup {
 public:
  ColumnGroup(std::span<const float> weights, ChannelLayout layout, int64_t start, int64_t columns)
      : layout_{layout.outer, columns, 1},
        stride_(to_size(layout.channels)),
        start_(to_size(start)),
        errors_(to_size(layout_.size())),
        codes_(errors_.size()) {
    for (size_t r = 0; r < rows(); ++r) {
      std::copy_n(weights.data() + r * stride_ + start_, width(), errors_.data() + r * width());
    }
  }

  /// Rounds to nearest; throws as channel_params does.
  std::vector<QuantParams> round(const WeightQuantOptions& options) {
    const auto params = channel_params(errors_, layout_, options);
    std::vector<float> scales;
    std::vector<int32_t> zero_points;
    for (const QuantParams& one : params) {
      scales.push_back(one.scale);
      if (!options.symmetric) zero_points.push_back(one.zero_point);
    }
    quantize_channels(errors_, layout_, scales, zero_points, options.range, codes_);
    return params;
  }
  void read_codes(std::span<const int8_t> stored) {
    for (size_t r = 0; r < rows(); ++r) {
      std::copy_n(stored.data() + r * stride_ + start_, width(), codes_.data() + r * width());
    }
  }
  void write_codes(std::span<int8_t> stored) const {
    for (size_t r = 0; r < rows(); ++r) {
      std::copy_n(codes_.data() + r * width(), width(), stored.data() + r * stride_ + start_);
    }
  }

  /// Once: the weights become errors.
  void balance(std::span<const QuantParams> params, IntRange range) {
    find_sums(params);
    find_candidates();
    Balancer balancer(range);
    for (size_t c = 0; c < width(); ++c) turn(c, balancer);
  }

 private:
  size_t rows() const { return to_size(layout_.outer); }
  size_t width() const { return to_size(layout_.channels); }

  void find_sums(std::span<const QuantParams> params) {
    std::vector<float> inverse, zeros;
    for (const QuantParams& one : params) {
      inverse.push_back(1.0F / one.scale);
      zeros.push_back(static_cast<float>(one.zero_point));
    }
    sums_.assign(width(), 0.0);
    for (size_t r = 0; r < rows(); ++r) {
      const auto row = std::span(errors_).subspan(r * width(), width());
      simd::rounding_errors(row, std::span<const int8_t>(codes_).subspan(r * width(), width()),
                            inverse, zeros, sums_);
    }
  }
  int64_t wanted(size_t c) const { return static_cast<int64_t>(std::llround(std::abs(sums_[c]))); }

  void find_candidates() {
    std::vector<float> sign(width(), 0.0F), least(width(), 0.5F);
    for (size_t c = 0; c < width(); ++c) {
      if (wanted(c) == 0) continue;
      sign[c] = sums_[c] > 0 ? 1.0F : -1.0F;
      // Errors are nearly uniform: twice as many as are wanted, and some, are nearly always enough.
      const double share = static_cast<double>(2 * wanted(c) + 16) / static_cast<double>(rows());
      least[c] = static_cast<float>(std::max(0.0, 0.5 - share));
    }
    candidates_.resize(width());
    std::vector<uint32_t> found(width());
    for (size_t r = 0; r < rows(); ++r) {
      const auto row = std::span<const float>(errors_).subspan(r * width(), width());
      const size_t count = simd::find_above(row, sign, least, found);
      for (size_t i = 0; i < count; ++i) {
        const uint32_t c = found[i];
        candidates_[c].push_back({row[c] * sign[c], r});
      }
    }
  }

  void turn(size_t c, Balancer& balancer) {
    if (wanted(c) == 0) return;
    const auto code = [&](size_t r) -> int8_t& { return codes_[r * width() + c]; };
    const auto change = [&](size_t r, int step) { code(r) = static_cast<int8_t>(code(r) + step); };
    if (balancer.turn_best(candidates_[c], wanted(c), sums_[c] > 0 ? 1 : -1, code, change)) return;
    std::vector<float> column(rows());
    for (size_t r = 0; r < column.size(); ++r) column[r] = errors_[r * width() + c];
    balancer.balance(column, code, change);
  }

  ChannelLayout layout_;
  size_t stride_, start_;
  std::vector<float> errors_;  ///< the weights, until they are balanced
  std::vector<int8_t> codes_;
  std::vector<double> sums_;
  std::vector<std::vector<Balancer::Candidate>> candidates_;
};

bool channels_are_columns(ChannelLayout layout) { return layout.inner == 1 && layout.channels > 1; }

/// Calls fn(first, columns) for groups of columns that fit the cache.
template <class Fn>
void for_each_group(ChannelLayout layout, Fn fn) {
  const int64_t fits = kCachedElements / std::max<int64_t>(layout.outer, 1) / kLine * kLine;
  const int64_t columns = std::clamp<int64_t>(fits, kLine, 16 * kLine);
  parallel_for(0, layout.channels, columns,
               [&](int64_t first, int64_t last) { fn(first, last - first); });
}

/// Channels are the columns of a matrix.
void balance_columns(std::span<const float> weights, ChannelLayout layout,
                     std::span<const float> scales, std::span<const int32_t> zero_points,
                     IntRange range, std::span<int8_t> stored) {
  for_each_group(layout, [&](int64_t first, int64_t columns) {
    std::vector<QuantParams> params;
    for (int64_t c = first; c < first + columns; ++c) {
      params.push_back({scales[to_size(c)], zero_points.empty() ? 0 : zero_points[to_size(c)]});
    }
    ColumnGroup group(weights, layout, first, columns);
    group.read_codes(stored);
    group.balance(params, range);
    group.write_codes(stored);
  });
}

}  // namespace

void balance_rounding(std::span<const float> weights, ChannelLayout layout,
                      std::span<const float> scales, std::span<const int32_t> zero_points,
                      IntRange range, std::span<int8_t> stored) {
  if (channels_are_columns(layout)) {
    balance_columns(weights, layout, scales, zero_points, range, stored);
    return;
  }
  const int64_t size = std::max<int64_t>(1, layout.outer * layout.inner);
  const int64_t grain = std::max<int64_t>(1, kTaskElements / size);
  parallel_for(0, layout.channels, grain, [&](int64_t first, int64_t last) {
    Balancer balancer(range);
    std::vector<float> errors(to_size(size));
    for (int64_t c = first; c < last; ++c) {
      const Channel channel = channel_at(scales, zero_points, c);
      const auto place = [&](size_t at) {
        const auto i = static_cast<int64_t>(at);
        return to_size((i / layout.inner * layout.channels + c) * layout.inner + i % layout.inner);
      };
      for (int64_t outer = 0; outer < layout.outer; ++outer) {
        const size_t from = to_size((outer * layout.channels + c) * layout.inner);
        for (int64_t i = 0; i < layout.inner; ++i) {
          const size_t at = from + to_size(i);
          errors[to_size(outer * layout.inner + i)] =
              weights[at] * channel.inverse - (static_cast<float>(stored[at]) - channel.zero_point);
        }
      }
      balancer.balance(
          errors, [&](size_t at) { return stored[place(at)]; },
          [&](size_t at, int step) { stored[place(at)] = static_cast<int8_t>(stored[place(at)] + step); });
    }
  });
}

QuantizedWeights quantize_balanced(std::span<const float> weights, ChannelLayout layout,
                                   const WeightQuantOptions& options) {
  if (!channels_are_columns(layout) || !options.importance.empty()) {
    QuantizedWeights result = quantize_weights(weights, layout, options);
    balance_rounding(weights, layout, result.scales, result.zero_points, options.range,
                     result.values);
    return result;
  }
  QuantizedWeights result;
  result.values.resize(weights.size());
  result.scales.resize(to_size(layout.channels));
  if (!options.symmetric) result.zero_points.resize(result.scales.size());
  for_each_group(layout, [&](int64_t first, int64_t columns) {
    ColumnGroup group(weights, layout, first, columns);
    const std::vector<QuantParams> params = group.round(options);
    group.balance(params, options.range);
    group.write_codes(result.values);
    for (size_t c = 0; c < params.size(); ++c) {
      result.scales[to_size(first) + c] = params[c].scale;
      if (!options.symmetric) result.zero_points[to_size(first) + c] = params[c].zero_point;
    }
  });
  return result;
}

}  // namespace mcompress::numerics
