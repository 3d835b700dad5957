// SPDX-License-Identifier: Apache-2.0
#include "numerics/balanced_rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "numerics/quantize_simd.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kTaskElements = int64_t{1} << 18;
/// Errors of a group of columns that stay in the cache; the columns whose integers fill a line.
constexpr int64_t kCachedElements = int64_t{1} << 17;
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

/// Some columns of a matrix that fit the cache together: the sums of their errors first, then, with
/// the direction known, the few weights that are near enough to a half.
class ColumnGroup {
 public:
  ColumnGroup(std::span<const float> weights, ChannelLayout layout, IntRange range,
              std::span<int8_t> stored)
      : weights_(weights), layout_(layout), stored_(stored), balancer_(range) {}

  void balance(int64_t start, int64_t columns, std::span<const float> scales,
               std::span<const int32_t> zero_points) {
    const size_t width = to_size(columns);
    start_ = to_size(start);
    inverse_.resize(width);
    zero_.resize(width);
    for (size_t c = 0; c < width; ++c) {
      const Channel channel = channel_at(scales, zero_points, start + static_cast<int64_t>(c));
      inverse_[c] = channel.inverse;
      zero_[c] = channel.zero_point;
    }
    find_sums();
    find_candidates();
    for (size_t c = 0; c < width; ++c) turn(c);
  }

 private:
  /// Nearly always enough candidates: the sum of n errors is about sqrt(n / 12).
  static constexpr float kLeast = 0.45F;

  size_t row(size_t r) const { return r * to_size(layout_.channels) + start_; }

  std::span<float> errors(size_t r) {
    return std::span(errors_).subspan(r * inverse_.size(), inverse_.size());
  }

  void find_sums() {
    sums_.assign(inverse_.size(), 0.0);
    errors_.resize(inverse_.size() * to_size(layout_.outer));
    for (size_t r = 0; r < to_size(layout_.outer); ++r) {
      const std::span<float> found = errors(r);
      simd::rounding_errors(weights_.subspan(row(r), found.size()),
                            std::span<const int8_t>(stored_).subspan(row(r), found.size()),
                            inverse_, zero_, found);
      for (size_t c = 0; c < found.size(); ++c) sums_[c] += found[c];
    }
  }
  void find_candidates() {
    sign_.resize(sums_.size());
    candidates_.resize(sums_.size());
    for (size_t c = 0; c < sums_.size(); ++c) {
      candidates_[c].clear();
      sign_[c] = wanted(c) == 0 ? 0.0F : sums_[c] > 0 ? 1.0F : -1.0F;
    }
    for (size_t r = 0; r < to_size(layout_.outer); ++r) {
      const std::span<float> found = errors(r);
      for (size_t c = 0; c < found.size(); ++c) {
        const float error = found[c] * sign_[c];
        if (error > kLeast) candidates_[c].push_back({error, r});
      }
    }
  }
  int64_t wanted(size_t c) const { return static_cast<int64_t>(std::llround(std::abs(sums_[c]))); }

  void turn(size_t c) {
    if (sign_[c] == 0) return;
    const auto code = [&](size_t r) -> int8_t& { return stored_[row(r) + c]; };
    const auto change = [&](size_t r, int step) { code(r) = static_cast<int8_t>(code(r) + step); };
    if (balancer_.turn_best(candidates_[c], wanted(c), sums_[c] > 0 ? 1 : -1, code, change)) return;
    column_.resize(to_size(layout_.outer));
    for (size_t r = 0; r < column_.size(); ++r) column_[r] = errors(r)[c];
    balancer_.balance(column_, code, change);
  }

  std::span<const float> weights_;
  ChannelLayout layout_;
  std::span<int8_t> stored_;
  Balancer balancer_;
  size_t start_ = 0;
  std::vector<float> inverse_, zero_, errors_, sign_, column_;
  std::vector<double> sums_;
  std::vector<std::vector<Balancer::Candidate>> candidates_;
};

/// Channels are the columns of a matrix.
void balance_columns(std::span<const float> weights, ChannelLayout layout,
                     std::span<const float> scales, std::span<const int32_t> zero_points,
                     IntRange range, std::span<int8_t> stored) {
  const int64_t fits = kCachedElements / std::max<int64_t>(layout.outer, 1) / kLine * kLine;
  const int64_t columns = std::clamp<int64_t>(fits, kLine, 16 * kLine);
  parallel_for(0, layout.channels, columns, [&](int64_t first, int64_t last) {
    ColumnGroup(weights, layout, range, stored).balance(first, last - first, scales, zero_points);
  });
}

}  // namespace

void balance_rounding(std::span<const float> weights, ChannelLayout layout,
                      std::span<const float> scales, std::span<const int32_t> zero_points,
                      IntRange range, std::span<int8_t> stored) {
  if (layout.inner == 1 && layout.channels > 1) {
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

}  // namespace mcompress::numerics
