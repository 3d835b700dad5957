// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mcompress::numerics {

/// Weight, sum and sum of squares of a group of numbers.
struct Moments {
  double weight = 0;
  double sum = 0;
  double squares = 0;
};

/// Groups of numbers in ascending order, any run of which can be measured in O(1). Sums are taken
/// outwards from the group at `pivot`, so that a far outlier at one end does not cancel digits at
/// the other.
class PrefixMoments {
 public:
  PrefixMoments(const std::vector<Moments>& groups, size_t pivot);

  int32_t groups() const { return static_cast<int32_t>(prefix_.size()) - 1; }
  double weight(int32_t begin, int32_t end) const { return at(end).weight - at(begin).weight; }
  double mean(int32_t begin, int32_t end) const {
    return (at(end).sum - at(begin).sum) / weight(begin, end);
  }
  /// Weighted squared distance of groups [begin, end) from their mean; begin < end.
  double cost(int32_t begin, int32_t end) const {
    const Moments& a = at(begin);
    const Moments& b = at(end);
    const double sum = b.sum - a.sum;
    const double cost = b.squares - a.squares - sum * sum / (b.weight - a.weight);
    return cost > 0 ? cost : 0;
  }

 private:
  const Moments& at(int32_t i) const { return prefix_[static_cast<size_t>(i)]; }

  std::vector<Moments> prefix_;
};

/// A partition into runs: segment i is [cuts[i], cuts[i + 1]), cuts.front() = 0.
struct Segmentation {
  std::vector<int32_t> cuts;
  double cost = 0;
  /// Price of one more segment at which this partition is best; a starting point for similar data.
  double price = 0;

  int32_t segments() const { return static_cast<int32_t>(cuts.size()) - 1; }
};

/// The partition into exactly min(count, groups) segments of least total cost. The optimal cost is
/// convex in the number of segments, so a price per segment is searched for at which the unpriced
/// problem, O(n log n) by a monotone queue, has `count` segments; where ties skip over `count`, two
/// optimal partitions around it are spliced into one. Exact up to rounding. `price_hint` > 0 saves
/// iterations. Groups must have positive weight and ascending means. (Gronlund et al. 2017,
/// arXiv:1701.07204; splice: Aggarwal, Schieber, Tokuyama 1994.)
Segmentation best_segmentation(const PrefixMoments& data, int32_t count, double price_hint = 0);

}  // namespace mcompress::numerics
