// SPDX-License-Identifier: Apache-2.0
#include "numerics/segmentation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace mcompress::numerics {
namespace {

constexpr int kMaxIterations = 100;
constexpr double kTolerance = 1e-12;

double total_cost(const PrefixMoments& data, const std::vector<int32_t>& cuts) {
  double total = 0;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) total += data.cost(cuts[i], cuts[i + 1]);
  return total;
}

// Least-weight subsequence: every segment costs its squared error plus a price.
class PricedSolver {
 public:
  explicit PricedSolver(const PrefixMoments& data)
      : data_(data),
        n_(data.groups()),
        best_(size(n_) + 1),
        from_(size(n_) + 1),
        queue_(size(n_)) {}

  Segmentation solve(double price) {
    // queue_[head..tail) holds the starts that are still best for some end; entry e is the best one
    // from e.first until the next entry's first.
    size_t head = 0;
    size_t tail = 1;
    best_[0] = 0;
    queue_[0] = {0, 1};
    for (int32_t end = 1;; ++end) {
      while (head + 1 < tail && queue_[head + 1].first <= end) ++head;
      const int32_t start = queue_[head].start;
      best_[size(end)] = value(start, end) + price;
      from_[size(end)] = start;
      if (end == n_) break;
      tail = push(end, head, tail);
    }
    Segmentation result;
    for (int32_t cut = n_; cut > 0; cut = from_[size(cut)]) result.cuts.push_back(cut);
    result.cuts.push_back(0);
    std::reverse(result.cuts.begin(), result.cuts.end());
    result.cost = total_cost(data_, result.cuts);
    result.price = price;
    return result;
  }

 private:
  struct Candidate {
    int32_t start;
    int32_t first;
  };

  static size_t size(int32_t i) { return static_cast<size_t>(i); }
  double value(int32_t start, int32_t end) const {
    return best_[size(start)] + data_.cost(start, end);
  }
  bool is_better(int32_t challenger, int32_t holder, int32_t end) const {
    return value(challenger, end) < value(holder, end);
  }

  // A later start, once better, stays better (quadrangle inequality).
  size_t push(int32_t start, size_t head, size_t tail) {
    while (tail > head + 1 && queue_[tail - 1].first > start &&
           is_better(start, queue_[tail - 1].start, queue_[tail - 1].first)) {
      --tail;
    }
    const int32_t holder = queue_[tail - 1].start;
    if (!is_better(start, holder, n_)) return tail;
    queue_[tail] = {start,
                    first_better(start, holder, std::max(queue_[tail - 1].first, start + 1))};
    return tail + 1;
  }

  int32_t first_better(int32_t challenger, int32_t holder, int32_t low) const {
    int32_t high = low;
    for (int32_t step = 1; high < n_ && !is_better(challenger, holder, high); step *= 2) {
      low = high + 1;
      high = step > n_ - high ? n_ : high + step;
    }
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (is_better(challenger, holder, middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return high;
  }

  const PrefixMoments& data_;
  int32_t n_;
  std::vector<double> best_;
  std::vector<int32_t> from_;
  std::vector<Candidate> queue_;
};

// From two partitions that are optimal at one price, with fewer and with more segments than wanted,
// an optimal one with `count`: the first cuts of the finer, then the last of the coarser.
Segmentation splice(const PrefixMoments& data, const Segmentation& coarse, const Segmentation& fine,
                    int32_t count) {
  const auto extra = static_cast<size_t>(count - coarse.segments());
  size_t j = 0;
  while (fine.cuts[j + extra + 1] > coarse.cuts[j + 1]) ++j;
  Segmentation result;
  const auto fine_end = fine.cuts.begin() + static_cast<ptrdiff_t>(j + extra + 1);
  result.cuts.assign(fine.cuts.begin(), fine_end);
  result.cuts.insert(result.cuts.end(), coarse.cuts.begin() + static_cast<ptrdiff_t>(j + 1),
                     coarse.cuts.end());
  result.cost = total_cost(data, result.cuts);
  result.price = (coarse.cost - fine.cost) / (fine.segments() - coarse.segments());
  return result;
}

Segmentation finest(const PrefixMoments& data) {
  Segmentation result;
  result.cuts.resize(static_cast<size_t>(data.groups()) + 1);
  std::iota(result.cuts.begin(), result.cuts.end(), 0);
  result.cost = total_cost(data, result.cuts);
  return result;
}

Segmentation coarsest(const PrefixMoments& data) {
  Segmentation result;
  result.cuts = {0, data.groups()};
  result.cost = result.price = data.cost(0, data.groups());
  return result;
}

double geometric_middle(double low, double high) {
  low = std::max(low, high * 1e-20);
  return std::sqrt(low) * std::sqrt(high);
}

}  // namespace

PrefixMoments::PrefixMoments(const std::vector<Moments>& groups, size_t pivot)
    : prefix_(groups.size() + 1) {
  for (size_t i = pivot; i < groups.size(); ++i) {
    prefix_[i + 1].weight = prefix_[i].weight + groups[i].weight;
    prefix_[i + 1].sum = prefix_[i].sum + groups[i].sum;
    prefix_[i + 1].squares = prefix_[i].squares + groups[i].squares;
  }
  for (size_t i = pivot; i > 0; --i) {
    prefix_[i - 1].weight = prefix_[i].weight - groups[i - 1].weight;
    prefix_[i - 1].sum = prefix_[i].sum - groups[i - 1].sum;
    prefix_[i - 1].squares = prefix_[i].squares - groups[i - 1].squares;
  }
}

Segmentation best_segmentation(const PrefixMoments& data, int32_t count, double price_hint) {
  if (count >= data.groups()) return finest(data);
  Segmentation coarse = coarsest(data);
  if (count <= 1) return coarse;
  Segmentation fine = finest(data);

  PricedSolver solver(data);
  double price = price_hint > 0 ? price_hint : coarse.price / std::pow(count, 3);
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    const bool is_close = fine.segments() - coarse.segments() <= std::max(4, count / 16);
    const double crossing = (coarse.cost - fine.cost) / (fine.segments() - coarse.segments());
    if (is_close || iteration > kMaxIterations / 2) {
      price = crossing;
    } else if (!(price > fine.price && price < coarse.price)) {
      price = geometric_middle(fine.price, coarse.price);
    }
    Segmentation middle = solver.solve(price);
    if (middle.segments() == count) return middle;

    // No partition is better at this price than the two that bracket it: they are both optimal.
    const double bracket = coarse.cost + price * coarse.segments();
    const double found = middle.cost + price * middle.segments();
    if (price == crossing && bracket - found <= kTolerance * found) break;

    // For a smooth density the optimal price falls with the cube of the number of segments.
    const double next = price * std::pow(static_cast<double>(middle.segments()) / count, 3);
    (middle.segments() < count ? coarse : fine) = std::move(middle);
    price = next;
  }
  return splice(data, coarse, fine, count);
}

}  // namespace mcompress::numerics
