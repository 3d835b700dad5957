// SPDX-License-Identifier: Apache-2.0
#include "numerics/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "support/random_bits.h"

namespace mcompress::numerics {
namespace {

constexpr double kNormal975 = 1.959963984540054;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// 97.5 % quantile of Student's t: exact for 1 and 2, else the expansion around the normal quantile,
// within 1 % from 3 degrees of freedom on.
double student_975(double freedom) {
  if (freedom < 1.5) return 12.706204736432095;
  if (freedom < 2.5) return 4.302652729911275;
  const double z = kNormal975;
  const double z2 = z * z;
  const double g1 = z * (z2 + 1) / 4;
  const double g2 = z * (5 * z2 * z2 + 16 * z2 + 3) / 96;
  const double g3 = z * (3 * z2 * z2 * z2 + 19 * z2 * z2 + 17 * z2 - 15) / 384;
  const double g4 =
      z * (79 * z2 * z2 * z2 * z2 + 776 * z2 * z2 * z2 + 1482 * z2 * z2 - 1920 * z2 - 945) / 92160;
  const double f = freedom;
  return z + g1 / f + g2 / (f * f) + g3 / (f * f * f) + g4 / (f * f * f * f);
}

double sum(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

double quantile_of_sorted(std::span<const double> sorted, double fraction) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double position = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = position - static_cast<double>(below);
  return part == 0 ? sorted[below] : sorted[below] + part * (sorted[above] - sorted[below]);
}

std::vector<double> sorted_copy(std::span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

bool is_same_non_finite(float a, float b) { return (std::isnan(a) && std::isnan(b)) || a == b; }

}  // namespace

Estimate proportion(int64_t successes, int64_t trials) {
  if (trials <= 0) return {0, 0, 1};
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double z2 = kNormal975 * kNormal975;
  const double center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal975 * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  return {p, std::max(0.0, center - half), std::min(1.0, center + half)};
}

Estimate mean(std::span<const double> values) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  const double value = sum(values) / n;
  if (values.size() < 2) return {value, value, value};
  double squares = 0;
  for (const double one : values) squares += (one - value) * (one - value);
  const double half = student_975(n - 1) * std::sqrt(squares / (n - 1) / n);
  return {value, value - half, value + half};
}

Estimate paired_difference(std::span<const double> a, std::span<const double> b) {
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = b[i] - a[i];
  return mean(differences);
}

Estimate median(std::span<const double> values) {
  if (values.empty()) return {};
  const std::vector<double> sorted = sorted_copy(values);
  const auto n = static_cast<double>(sorted.size());
  const double half = kNormal975 * std::sqrt(n) / 2;
  const double low = std::max(0.0, std::floor(n / 2 - half));
  const double high = std::min(n - 1, std::ceil(n / 2 + half));
  return {quantile_of_sorted(sorted, 0.5), sorted[static_cast<size_t>(low)],
          sorted[static_cast<size_t>(high)]};
}

Estimate bootstrap(int64_t count, uint64_t seed, int resamples,
                   const std::function<double(std::span<const int64_t>)>& statistic) {
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  Estimate result;
  result.value = statistic(indices);
  result.low = result.high = result.value;
  if (count == 0 || resamples <= 0) return result;
  std::vector<double> values;
  uint64_t counter = 0;
  for (int i = 0; i < resamples; ++i) {
    for (int64_t& index : indices) {
      index = static_cast<int64_t>(support::random_bits(seed, counter++) % static_cast<uint64_t>(count));
    }
    values.push_back(statistic(indices));
  }
  std::sort(values.begin(), values.end());
  result.low = quantile_of_sorted(values, 0.025);
  result.high = quantile_of_sorted(values, 0.975);
  return result;
}

double quantile(std::span<const double> values, double fraction) {
  return quantile_of_sorted(sorted_copy(values), fraction);
}

void ErrorStatistics::add(std::span<const float> reference, std::span<const float> actual) {
  for (size_t i = 0; i < reference.size(); ++i) {
    if (!std::isfinite(reference[i]) || !std::isfinite(actual[i])) {
      if (!is_same_non_finite(reference[i], actual[i])) ++mismatches_;
      continue;
    }
    const double expected = reference[i];
    const double found = actual[i];
    const double error = std::abs(found - expected);
    ++count_;
    signal_ += expected * expected;
    actual_ += found * found;
    dot_ += expected * found;
    noise_ += error * error;
    absolute_ += error;
    max_error_ = std::max(max_error_, error);
    max_reference_ = std::max(max_reference_, std::abs(expected));
  }
}

void ErrorStatistics::merge(const ErrorStatistics& other) {
  count_ += other.count_;
  mismatches_ += other.mismatches_;
  signal_ += other.signal_;
  actual_ += other.actual_;
  dot_ += other.dot_;
  noise_ += other.noise_;
  absolute_ += other.absolute_;
  max_error_ = std::max(max_error_, other.max_error_);
  max_reference_ = std::max(max_reference_, other.max_reference_);
}

double ErrorStatistics::mean_squared_error() const {
  return count_ > 0 ? noise_ / static_cast<double>(count_) : 0;
}

double ErrorStatistics::mean_absolute_error() const {
  return count_ > 0 ? absolute_ / static_cast<double>(count_) : 0;
}

double ErrorStatistics::sqnr_db() const {
  if (mismatches_ > 0) return -kInfinity;
  if (noise_ == 0) return kInfinity;
  return signal_ > 0 ? 10 * std::log10(signal_ / noise_) : -kInfinity;
}

double ErrorStatistics::cosine() const {
  if (mismatches_ > 0) return 0;
  if (signal_ == 0 && actual_ == 0) return 1;
  if (signal_ == 0 || actual_ == 0) return 0;
  return std::clamp(dot_ / std::sqrt(signal_) / std::sqrt(actual_), -1.0, 1.0);
}

}  // namespace mcompress::numerics
