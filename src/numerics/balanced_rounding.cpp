// SPDX-License-Identifier: Apache-2.0
#include "numerics/balanced_rounding.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <hwy/cache_control.h>

#include "numerics/quantize_simd.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kTaskElements = int64_t{1} << 18;
/// Weights of a group of columns that stay in the cache; the columns whose integers fill a line.
constexpr int64_t kCachedElements = int64_t{1} << 18;
constexpr int64_t kLine = 64;
constexpr size_t kRowsAhead = 6;

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
/// One stands for one group after the other, as what it holds is larger than what the system keeps
/// for the next.
class ColumnGroup {
 public:
  void load(std::span<const std::byte> weights, ChannelLayout layout, int64_t start,
            int64_t columns) {
    layout_ = {layout.outer, columns, 1};
    stride_ = to_size(layout.channels);
    start_ = to_size(start);
    const size_t size = to_size(layout_.size());
    if (memory_.size() < size) memory_.resize(size);
    if (code_memory_.size() < size) code_memory_.resize(size);
    errors_ = std::span(memory_).first(size);
    codes_ = std::span(code_memory_).first(size);
    least_.assign(width(), MinMax{}.min);
    most_.assign(width(), MinMax{}.max);
    non_finite_ = 0;
    for (size_t r = 0; r < rows(); ++r) {
      const std::byte* const row = weights.data() + (r * stride_ + start_) * sizeof(float);
      if (r + kRowsAhead < rows()) prefetch(row + kRowsAhead * stride_ * sizeof(float));
      std::memcpy(row_of(r).data(), row, width() * sizeof(float));
      non_finite_ += simd::column_min_max(row_of(r), least_, most_);
    }
  }
  /// Gives what is more than a usual group takes back.
  void shrink() {
    if (memory_.size() <= to_size(2 * kCachedElements)) return;
    std::vector<float>().swap(memory_);
    std::vector<int8_t>().swap(code_memory_);
  }

  /// Rounds to nearest and balances; throws as channel_params does.
  std::vector<QuantParams> round(const WeightQuantOptions& options) {
    const auto params = params_for(options);
    const ChannelScales channels = scales_of(params, options);
    start_sums(params);
    for (size_t r = 0; r < rows(); ++r) {
      if (options.symmetric) {
        simd::quantize_row(row_of(r), channels.scales, options.range, codes_of(r));
      } else {
        quantize_channels(row_of(r), {1, layout_.channels, 1}, channels.scales,
                          channels.zero_points, options.range, codes_of(r));
      }
      add_errors(r);
    }
    balance(options.range);
    return params;
  }
  /// Balances what was rounded to nearest before.
  void balance(std::span<const int8_t> stored, std::span<const QuantParams> params,
               IntRange range) {
    start_sums(params);
    for (size_t r = 0; r < rows(); ++r) {
      std::copy_n(stored.data() + r * stride_ + start_, width(), codes_of(r).data());
      add_errors(r);
    }
    balance(range);
  }
  void write_codes(std::span<int8_t> stored) const {
    for (size_t r = 0; r < rows(); ++r) {
      std::copy_n(codes_.data() + r * width(), width(), stored.data() + r * stride_ + start_);
    }
  }

 private:
  size_t rows() const { return to_size(layout_.outer); }
  size_t width() const { return to_size(layout_.channels); }
  std::span<float> row_of(size_t r) { return errors_.subspan(r * width(), width()); }
  std::span<int8_t> codes_of(size_t r) { return codes_.subspan(r * width(), width()); }

  /// Rows are too far apart for the processor to see that one follows the other.
  void prefetch(const std::byte* row) const {
    for (size_t i = 0; i < width() * sizeof(float); i += to_size(kLine)) hwy::Prefetch(row + i);
  }

  std::vector<QuantParams> params_for(const WeightQuantOptions& options) const {
    if (options.clip != ClipSearch::kNone) return channel_params(errors_, layout_, options);
    std::vector<MinMax> extents;
    for (size_t c = 0; c < width(); ++c) extents.push_back({least_[c], most_[c], 0});
    extents[0].non_finite = non_finite_;
    return params_of(extents, options);
  }

  void start_sums(std::span<const QuantParams> params) {
    inverse_.clear();
    zeros_.clear();
    for (const QuantParams& one : params) {
      inverse_.push_back(1.0F / one.scale);
      zeros_.push_back(static_cast<float>(one.zero_point));
    }
    sums_.assign(width(), 0.0);
  }
  /// Once a row: its weights become errors.
  void add_errors(size_t r) {
    simd::rounding_errors(row_of(r), codes_of(r), inverse_, zeros_, sums_);
  }

  void balance(IntRange range) {
    find_candidates();
    Balancer balancer(range);
    for (size_t c = 0; c < width(); ++c) turn(c, balancer);
  }
  int64_t wanted(size_t c) const { return static_cast<int64_t>(std::llround(std::abs(sums_[c]))); }

  void find_candidates() {
    std::vector<float> sign(width(), 0.0F), limit(width(), 0.5F);
    for (size_t c = 0; c < width(); ++c) {
      if (wanted(c) == 0) continue;
      sign[c] = sums_[c] > 0 ? 1.0F : -1.0F;
      // Errors are nearly uniform: twice as many as are wanted, and some, are nearly always enough.
      const double share = static_cast<double>(2 * wanted(c) + 16) / static_cast<double>(rows());
      limit[c] = static_cast<float>(std::max(0.0, 0.5 - share));
    }
    if (candidates_.size() < width()) candidates_.resize(width());
    for (auto& column : candidates_) column.clear();
    std::vector<uint32_t> found(width());
    for (size_t r = 0; r < rows(); ++r) {
      const auto row = row_of(r);
      const size_t count = simd::find_above(row, sign, limit, found);
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
  size_t stride_ = 0, start_ = 0;
  std::vector<float> memory_;
  std::vector<int8_t> code_memory_;
  std::span<float> errors_;  ///< the weights, until they are rounded
  std::span<int8_t> codes_;
  std::vector<float> least_, most_;  ///< of each column
  int64_t non_finite_ = 0;
  std::vector<float> inverse_, zeros_;
  std::vector<double> sums_;
  std::vector<std::vector<Balancer::Candidate>> candidates_;
};

/// Calls fn(group, first, columns) for groups of columns that fit the cache.
template <class Fn>
void for_each_group(std::span<const std::byte> weights, ChannelLayout layout, Fn fn) {
  const int64_t fits = kCachedElements / std::max<int64_t>(layout.outer, 1) / kLine * kLine;
  const int64_t columns = std::clamp<int64_t>(fits, kLine, 16 * kLine);
  parallel_for(0, layout.channels, columns, [&](int64_t first, int64_t last) {
    thread_local ColumnGroup group;
    group.load(weights, layout, first, last - first);
    fn(group, first, last - first);
    group.shrink();
  });
}

/// Channels are the columns of a matrix.
void balance_columns(std::span<const float> weights, ChannelLayout layout,
                     std::span<const float> scales, std::span<const int32_t> zero_points,
                     IntRange range, std::span<int8_t> stored) {
  const auto bytes = std::as_bytes(weights);
  for_each_group(bytes, layout, [&](ColumnGroup& group, int64_t first, int64_t columns) {
    std::vector<QuantParams> params;
    for (int64_t c = first; c < first + columns; ++c) {
      params.push_back({scales[to_size(c)], zero_points.empty() ? 0 : zero_points[to_size(c)]});
    }
    group.balance(stored, params, range);
    group.write_codes(stored);
  });
}

}  // namespace

bool channels_are_columns(ChannelLayout layout) { return layout.inner == 1 && layout.channels > 1; }

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

ChannelScales quantize_balanced(std::span<const float> weights, ChannelLayout layout,
                                const WeightQuantOptions& options, std::span<int8_t> stored) {
  if (!channels_are_columns(layout) || !options.importance.empty()) {
    ChannelScales result = quantize_weights(weights, layout, options, stored);
    balance_rounding(weights, layout, result.scales, result.zero_points, options.range, stored);
    return result;
  }
  return quantize_balanced(std::as_bytes(weights), layout, options, stored);
}

ChannelScales quantize_balanced(std::span<const std::byte> weights, ChannelLayout layout,
                                const WeightQuantOptions& options, std::span<int8_t> stored) {
  std::vector<QuantParams> params(to_size(layout.channels));
  for_each_group(weights, layout, [&](ColumnGroup& group, int64_t first, int64_t) {
    const std::vector<QuantParams> own = group.round(options);
    group.write_codes(stored);
    std::copy(own.begin(), own.end(), params.begin() + first);
  });
  return scales_of(params, options);
}

}  // namespace mcompress::numerics
