// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "mcompress/runtime_service.h"

namespace mcompress {
namespace {

constexpr int kWarmUpRuns = 3;
constexpr int kLeastPairs = 6;
/// Enough where the 95 % interval of the ratio is this narrow, looked at every so many pairs.
constexpr double kNarrow = 0.02;
constexpr int kPairsBetweenLooks = 20;

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  const double weight = at - static_cast<double>(low);
  return sorted[low] * (1 - weight) + sorted[high] * weight;
}

// The order statistics l and n + 1 - l (from 1) enclose the median with at least the wanted
// probability, 1 - 2 P[Binomial(n, 1/2) < l]; the normal approximation gives l.
void median_interval(const std::vector<double>& sorted, double* low, double* high) {
  const auto n = static_cast<double>(sorted.size());
  const double l = std::max(1.0, std::floor((n - 1.96 * std::sqrt(n)) / 2));
  const auto index = static_cast<size_t>(l) - 1;
  *low = sorted[index];
  *high = sorted[sorted.size() - 1 - index];
}

Latency summarize(std::vector<double> seconds, std::vector<double> ratios) {
  Latency result;
  result.pairs = static_cast<int>(seconds.size());
  if (seconds.empty()) return result;
  std::sort(seconds.begin(), seconds.end());
  std::sort(ratios.begin(), ratios.end());
  result.median_ms = quantile(seconds, 0.5) * 1e3;
  result.min_ms = seconds.front() * 1e3;
  result.max_ms = seconds.back() * 1e3;
  result.spread_ms = (quantile(seconds, 0.75) - quantile(seconds, 0.25)) * 1e3;
  result.ratio = quantile(ratios, 0.5);
  median_interval(ratios, &result.ratio_low, &result.ratio_high);
  return result;
}

/// Of one session against the first. Two pairs, one in each order, make one ratio: what the order
/// gives and takes cancels.
Latency compare(const std::vector<double>& first, const std::vector<double>& mine) {
  std::vector<double> ratios;
  for (size_t i = 0; i + 1 < mine.size(); i += 2) {
    ratios.push_back(std::sqrt(mine[i] / first[i] * mine[i + 1] / first[i + 1]));
  }
  return summarize(mine, std::move(ratios));
}

bool all_known(const std::vector<std::vector<double>>& seconds) {
  return std::all_of(seconds.begin(), seconds.end(), [&](const auto& mine) {
    const Latency latency = compare(seconds[0], mine);
    return latency.ratio_high - latency.ratio_low <= kNarrow * latency.ratio;
  });
}

}  // namespace

std::vector<Latency> measure_latency(std::span<Session* const> sessions, const Feeds& feeds,
                                     int pairs, double max_seconds) {
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  for (int run = 0; run < kWarmUpRuns && (run == 0 || elapsed() < max_seconds / 4); ++run) {
    for (Session* session : sessions) session->time(feeds);
  }
  std::vector<std::vector<double>> seconds(sessions.size());
  for (int pair = 0; pair < pairs; ++pair) {
    if (pair >= kLeastPairs && elapsed() >= max_seconds) break;
    const bool look = seconds.size() > 1 && pair > 0 && pair % kPairsBetweenLooks == 0;
    if (look && all_known(seconds)) break;
    // Whoever runs first pays for a colder cache, so the order alternates.
    for (size_t i = 0; i < sessions.size(); ++i) {
      const size_t at = pair % 2 == 0 ? i : sessions.size() - 1 - i;
      seconds[at].push_back(std::max(sessions[at]->time(feeds), 1e-9));
    }
  }
  std::vector<Latency> result;
  for (const auto& mine : seconds) result.push_back(compare(seconds[0], mine));
  return result;
}

}  // namespace mcompress
