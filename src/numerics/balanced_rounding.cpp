// SPDX-License-Identifier: Apache-2.0
#include "numerics/balanced_rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kTaskElements = int64_t{1} << 18;
/// Columns of a matrix that are worked on together: as many floats as a cache line holds.
constexpr int64_t kTileColumns = 16;

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
    const int step = sum > 0 ? 1 : -1;
    const auto may = [&](size_t at) {
      const int code = codes(at) + step;
      return code >= range_.min && code <= range_.max;
    };
    // Those near a half are what is turned; nearly always there are enough of them.
    for (const float least : {0.35F, 0.0F}) {
      candidates_.clear();
      for (size_t at = 0; at < errors.size(); ++at) {
        const float error = errors[at] * sign;
        if (error > least && error <= 0.5F && may(at)) candidates_.push_back({error, at});
      }
      if (candidates_.size() >= to_size(wanted)) break;
    }
    const size_t count = std::min(candidates_.size(), to_size(wanted));
    const auto most_first = [](const Candidate& a, const Candidate& b) {
      return a.error != b.error ? a.error > b.error : a.at < b.at;
    };
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(count),
                     candidates_.end(), most_first);
    for (size_t i = 0; i < count; ++i) change(candidates_[i].at, step);
  }

 private:
  struct Candidate {
    float error;
    size_t at;
  };
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

/// Channels are the columns of a matrix.
void balance_columns(std::span<const float> weights, ChannelLayout layout,
                     std::span<const float> scales, std::span<const int32_t> zero_points,
                     IntRange range, std::span<int8_t> stored) {
  const int64_t tiles = (layout.channels + kTileColumns - 1) / kTileColumns;
  const int64_t grain = std::max<int64_t>(1, kTaskElements / (layout.outer * kTileColumns));
  parallel_for(0, tiles, grain, [&](int64_t first, int64_t last) {
    Balancer balancer(range);
    const size_t rows = to_size(layout.outer);
    std::vector<float> errors(rows * to_size(kTileColumns));
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t start = tile * kTileColumns;
      const int64_t columns = std::min(kTileColumns, layout.channels - start);
      std::array<Channel, to_size(kTileColumns)> channels;
      for (int64_t c = 0; c < columns; ++c) {
        channels[to_size(c)] = channel_at(scales, zero_points, start + c);
      }
      // Along the rows, as the weights lie in memory; turned on the way.
      for (size_t r = 0; r < rows; ++r) {
        const size_t from = r * to_size(layout.channels) + to_size(start);
        for (size_t c = 0; c < to_size(columns); ++c) {
          const float code = static_cast<float>(stored[from + c]) - channels[c].zero_point;
          errors[c * rows + r] = weights[from + c] * channels[c].inverse - code;
        }
      }
      for (int64_t c = 0; c < columns; ++c) {
        const auto place = [&](size_t r) { return r * to_size(layout.channels) + to_size(start + c); };
        balancer.balance(
            std::span(errors).subspan(to_size(c) * rows, rows),
            [&](size_t r) { return stored[place(r)]; },
            [&](size_t r, int step) { stored[place(r)] = static_cast<int8_t>(stored[place(r)] + step); });
      }
    }
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
