// SPDX-License-Identifier: Apache-2.0
#include "numerics/assignment.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace mcompress::numerics {
namespace {

constexpr int64_t kMostExact = 1024;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// Row after row finds its cheapest way into the assignment, with prices that keep reduced costs >= 0.
std::vector<int64_t> exact_assignment(std::span<const float> gains, int64_t n) {
  const size_t size = to_size(n);
  std::vector<double> row_price(size, 0), column_price(size, 0);
  std::vector<int64_t> row_of(size, -1), column_of(size, -1);
  for (size_t start = 0; start < size; ++start) {
    std::vector<double> least(size, kInfinity);
    std::vector<int64_t> from(size, -1);
    std::vector<bool> done(size, false);
    size_t row = start, column = size;
    double reached = 0;
    int64_t previous = -1;
    while (true) {
      double best = kInfinity;
      for (size_t c = 0; c < size; ++c) {
        if (done[c]) continue;
        const double way = reached - static_cast<double>(gains[row * size + c]) - row_price[row] - column_price[c];
        if (way < least[c]) {
          least[c] = way;
          from[c] = previous;
        }
        if (least[c] < best) {
          best = least[c];
          column = c;
        }
      }
      reached = best;
      done[column] = true;
      if (row_of[column] < 0) break;
      previous = static_cast<int64_t>(column);
      row = to_size(row_of[column]);
    }
    // Prices of what was passed, then the swap along the way back.
    row_price[start] += reached;
    for (size_t c = 0; c < size; ++c) {
      if (!done[c] || c == column) continue;
      column_price[c] -= reached - least[c];
      row_price[to_size(row_of[c])] += reached - least[c];
    }
    for (int64_t c = static_cast<int64_t>(column); c >= 0;) {
      const int64_t before = from[to_size(c)];
      row_of[to_size(c)] = before < 0 ? static_cast<int64_t>(start) : row_of[to_size(before)];
      c = before;
    }
  }
  for (size_t c = 0; c < size; ++c) column_of[to_size(row_of[c])] = static_cast<int64_t>(c);
  return column_of;
}

std::vector<int64_t> greedy_assignment(std::span<const float> gains, int64_t n) {
  std::vector<int64_t> order(to_size(n * n));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return gains[to_size(a)] > gains[to_size(b)];
  });
  std::vector<int64_t> column_of(to_size(n), -1);
  std::vector<bool> taken(to_size(n), false);
  for (const int64_t at : order) {
    const int64_t row = at / n, column = at % n;
    if (column_of[to_size(row)] >= 0 || taken[to_size(column)]) continue;
    column_of[to_size(row)] = column;
    taken[to_size(column)] = true;
  }
  return column_of;
}

}  // namespace

std::vector<int64_t> best_assignment(std::span<const float> gains, int64_t n) {
  return n <= kMostExact ? exact_assignment(gains, n) : greedy_assignment(gains, n);
}

}  // namespace mcompress::numerics
