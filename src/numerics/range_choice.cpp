// SPDX-License-Identifier: Apache-2.0
#include "numerics/range_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace mcompress::numerics {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

// For 0 <= u < 2^51: what std::nearbyint gives, without a call.
double round_half_even(double u) {
  constexpr double kShift = 0x1.8p52;
  return u + kShift - kShift;
}

// Integral of |u - q(u)|^power from 0 to u, in units of the scale, for levels 0, 1, ..., levels.
double error_integral(double u, double levels, double power) {
  const double level = std::min(round_half_even(u), levels);
  const double rest = u - level;
  if (power == 2.0) return level * (1.0 / 12) + rest * rest * rest * (1.0 / 3);
  const double period = std::pow(0.5, power) / (power + 1);
  const double partial = std::pow(std::abs(rest), power + 1) / (power + 1);
  return level * period + (rest < 0 ? -partial : partial);
}

// The part of error_integral that lies beyond the last level.
double clipping_integral(double u, double levels, double power) {
  const double beyond = u - levels;
  if (beyond <= 0) return 0;
  if (power == 2.0) return beyond * beyond * beyond * (1.0 / 3);
  return std::pow(beyond, power + 1) / (power + 1);
}

struct SideError {
  double rounding = 0, clipping = 0;
};

// One side of zero: counts by magnitude, ending at `extreme`.
SideError side_error(std::span<const int64_t> counts, double bin_width, double extreme,
                     double scale, double levels, double power) {
  SideError error;
  if (counts.empty()) return error;
  const double inverse = 1 / scale;
  const double width = bin_width * inverse;
  const auto bins = static_cast<size_t>(
      std::min(std::ceil(extreme / bin_width), static_cast<double>(counts.size())));
  double low_integral = 0;
  double low_clipping = 0;
  for (size_t i = 0; i < bins; ++i) {
    // The last bin ends at the extreme.
    const double high = i + 1 < bins ? static_cast<double>(i + 1) * width : extreme * inverse;
    const double integral = error_integral(high, levels, power);
    const double clipping = clipping_integral(high, levels, power);
    if (counts[i] > 0) {
      const double wide = i + 1 < bins ? width : high - static_cast<double>(i) * width;
      const double clipped = clipping - low_clipping;
      const double weight = wide > 0 ? static_cast<double>(counts[i]) / wide : 0.0;
      error.clipping += weight * clipped;
      error.rounding += weight * (integral - low_integral - clipped);
    }
    low_integral = integral;
    low_clipping = clipping;
  }
  const double unit = power == 2.0 ? scale * scale : std::pow(scale, power);
  return {error.rounding * unit, error.clipping * unit};
}

class MseSearch {
 public:
  MseSearch(const Histogram& histogram, const RangeOptions& options)
      : histogram_(histogram), options_(options) {}

  Range search() {
    const MinMax& extent = histogram_.extent();
    const Range all = {std::min(extent.min, 0.0F), std::max(extent.max, 0.0F)};
    consider(all);
    for_each_ratio([&](double ratio) { return consider(scaled(all, ratio, ratio)); });
    if (options_.symmetric || all.low == 0 || all.high == 0) return best_;
    // The sides clip independently: descend along each in turn.
    for (int round = 0; round < 2; ++round) {
      const Range center = best_;
      for_each_ratio([&](double ratio) { return consider({center.low, shrunk(all.high, ratio)}); });
      const float high = best_.high;
      for_each_ratio([&](double ratio) { return consider({shrunk(all.low, ratio), high}); });
    }
    return best_;
  }

 private:
  // A geometric grid down to 1/1024, then two finer ones around the best so far.
  template <class Fn>
  void for_each_ratio(Fn consider_ratio) {
    constexpr int kCoarseSteps = 80;
    constexpr int kFineSteps = 8;
    double step = std::pow(2.0, -1.0 / 8);
    double best = 1.0;
    double at_best = best_error_;
    const auto try_ratio = [&](double ratio) {
      if (ratio > 1.0) return true;
      const bool hope = consider_ratio(ratio);
      if (best_error_ < at_best) best = ratio;
      at_best = std::min(at_best, best_error_);
      return hope;
    };
    double ratio = 1.0;
    for (int i = 0; i < kCoarseSteps && try_ratio(ratio); ++i) ratio *= step;
    for (int level = 0; level < 2; ++level) {
      step = std::pow(step, 1.0 / kFineSteps);
      const double center = best;
      for (int i = 1 - kFineSteps; i < kFineSteps; ++i) try_ratio(center * std::pow(step, i));
    }
  }

  static float shrunk(float bound, double ratio) {
    return static_cast<float>(static_cast<double>(bound) * ratio);
  }
  static Range scaled(Range range, double low, double high) {
    return {shrunk(range.low, low), shrunk(range.high, high)};
  }

  // False where no smaller range can be better: what it clips alone is worse than the best, by more
  // than the zero point, a whole number, can move a bound (half a step, and s^2 / 4 is 3 s^2 / 12).
  bool consider(Range range) {
    const auto parts = expected_error_parts(histogram_, params_of(range, options_), options_.range,
                                            options_.power);
    const double clipping = parts.above + parts.below;
    if (parts.rounding + clipping < best_error_) {
      best_error_ = parts.rounding + clipping;
      best_ = range;
    }
    return clipping <= 4 * best_error_;
  }

  const Histogram& histogram_;
  const RangeOptions& options_;
  Range best_;
  double best_error_ = kInfinity;
};

// Least right edge that leaves at most `outside` values beyond it.
double percentile_edge(std::span<const int64_t> counts, double bin_width, double outside) {
  auto beyond = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  if (beyond <= outside) return 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    beyond -= static_cast<double>(counts[i]);
    if (beyond <= outside) return static_cast<double>(i + 1) * bin_width;
  }
  return static_cast<double>(counts.size()) * bin_width;
}

Range percentile_range(const Histogram& histogram, const RangeOptions& options) {
  const double width = histogram.bin_width();
  // A little more, for 1 - 0.9 is less than 0.1.
  const double outside = (1 - options.percentile) * static_cast<double>(histogram.count()) + 1e-6;
  if (options.symmetric) {
    const auto edge = static_cast<float>(percentile_edge(histogram.magnitudes(), width, outside));
    return {-edge, edge};
  }
  const bool two_sided = !histogram.positive().empty() && !histogram.negative().empty();
  const double per_side = two_sided ? outside / 2 : outside;
  return {-static_cast<float>(percentile_edge(histogram.negative(), width, per_side)),
          static_cast<float>(percentile_edge(histogram.positive(), width, per_side))};
}

double x_log_x(double x) { return x > 0 ? x * std::log(x) : 0; }

// Divergence for every cut, O(bins * levels) by prefix sums. P is the histogram with the tail added
// to the last bin kept; Q spreads the kept mass of each of `levels` slots evenly over its occupied
// bins.
class EntropySearch {
 public:
  EntropySearch(const std::vector<int64_t>& counts, int64_t levels)
      : counts_(counts), levels_(levels) {
    mass_.push_back(0);
    occupied_.push_back(0);
    information_.push_back(0);
    for (const int64_t count : counts) {
      mass_.push_back(mass_.back() + static_cast<double>(count));
      occupied_.push_back(occupied_.back() + (count > 0 ? 1 : 0));
      information_.push_back(information_.back() + x_log_x(static_cast<double>(count)));
    }
  }

  // Number of bins to keep.
  int64_t best_cut() const {
    const auto bins = static_cast<int64_t>(counts_.size());
    int64_t best = bins;
    double least = kInfinity;
    for (int64_t cut = std::min(levels_, bins); cut <= bins; ++cut) {
      const double found = divergence(cut);
      if (found > least) continue;
      least = found;
      best = cut;
    }
    return best;
  }

 private:
  double divergence(int64_t cut) const {
    const double total = mass_.back();
    const double kept = mass_[to_size(cut)];
    const double tail = total - kept;
    const auto last = static_cast<double>(counts_[to_size(cut - 1)]);
    if (kept <= 0) return kInfinity;
    double cross = 0;
    for (int64_t slot = 0; slot < levels_; ++slot) {
      const size_t begin = to_size(slot * cut / levels_);
      const size_t end = to_size((slot + 1) * cut / levels_);
      const bool is_last = slot == levels_ - 1;
      const double mass = mass_[end] - mass_[begin];
      const double p_mass = mass + (is_last ? tail : 0.0);
      if (p_mass <= 0) continue;
      if (mass <= 0) return kInfinity;
      double occupied = occupied_[end] - occupied_[begin];
      if (is_last && last == 0 && tail > 0) occupied += 1;
      cross += p_mass * std::log(mass / occupied);
    }
    const double own = information_[to_size(cut)] - x_log_x(last) + x_log_x(last + tail);
    return (own - cross) / total - std::log(total) + std::log(kept);
  }

  const std::vector<int64_t>& counts_;
  int64_t levels_;
  std::vector<double> mass_;
  std::vector<double> occupied_;
  std::vector<double> information_;
};

Range entropy_range(const Histogram& histogram, const RangeOptions& options) {
  const bool two_sided = !histogram.positive().empty() && !histogram.negative().empty();
  const int64_t all_levels = static_cast<int64_t>(options.range.max) - options.range.min + 1;
  const int64_t levels = options.symmetric || two_sided ? all_levels / 2 : all_levels;
  std::vector<int64_t> counts = histogram.magnitudes();
  while (!counts.empty() && counts.back() == 0) counts.pop_back();
  const int64_t cut = EntropySearch(counts, levels).best_cut();
  const auto edge = static_cast<float>(static_cast<double>(cut) * histogram.bin_width());
  return {-edge, edge};
}

}  // namespace

QuantParams params_of(Range range, const RangeOptions& options) {
  if (options.symmetric) {
    return symmetric_params(std::max(-range.low, range.high), options.range);
  }
  return asymmetric_params(range.low, range.high, options.range);
}

ErrorParts expected_error_parts(const Histogram& histogram, QuantParams params, IntRange range,
                                double power) {
  const MinMax& extent = histogram.extent();
  const double width = histogram.bin_width();
  const auto above = side_error(histogram.positive(), width, extent.max, params.scale,
                                range.max - params.zero_point, power);
  const auto below = side_error(histogram.negative(), width, -static_cast<double>(extent.min),
                                params.scale, params.zero_point - range.min, power);
  return {above.rounding + below.rounding, above.clipping, below.clipping};
}

double expected_error(const Histogram& histogram, QuantParams params, IntRange range,
                      double power) {
  const auto parts = expected_error_parts(histogram, params, range, power);
  return parts.rounding + parts.above + parts.below;
}

Range choose_range(const Histogram& histogram, const RangeOptions& options) {
  const MinMax& extent = histogram.extent();
  if (extent.empty() || extent.abs_max() == 0) return {};
  Range range = {extent.min, extent.max};
  switch (options.method) {
    case RangeMethod::kMinMax:
      break;
    case RangeMethod::kPercentile:
      range = percentile_range(histogram, options);
      break;
    case RangeMethod::kEntropy:
      range = entropy_range(histogram, options);
      break;
    case RangeMethod::kMse:
      range = MseSearch(histogram, options).search();
      break;
  }
  // Nearly all values are zeros: what is left is worth more than their exactness.
  if (range.low >= 0 && range.high <= 0) range = {extent.min, extent.max};
  // Never wider than what was seen.
  range.low = std::clamp(range.low, std::min(extent.min, 0.0F), 0.0F);
  range.high = std::clamp(range.high, 0.0F, std::max(extent.max, 0.0F));
  if (options.symmetric) {
    range.high = std::max(-range.low, range.high);
    range.low = -range.high;
  }
  return range;
}

}  // namespace mcompress::numerics
