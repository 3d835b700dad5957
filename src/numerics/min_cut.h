// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

namespace mcompress::numerics {

/// Assigns one of two labels to every node so that the sum of costs is least: a minimum cut, exact
/// (Dinic 1970; the construction for labels is that of Greig, Porteous and Seheult 1989). Costs are >= 0.
class BinaryLabelling {
 public:
  static constexpr double kForbidden = std::numeric_limits<double>::infinity();

  /// A node that costs `if_false` or `if_true` by its label. Returns its number.
  size_t add_node(double if_false, double if_true);
  /// Adds to the cost of a node's labels.
  void add_cost(size_t node, double if_false, double if_true);
  /// `cost` where `a` is true and `b` is false; kForbidden makes that impossible.
  void add_edge(size_t a_true, size_t b_false, double cost);
  size_t size() const { return if_false_.size(); }

  /// The labels of a cheapest assignment; among equal ones that with the fewest true.
  std::vector<bool> solve() const;
  /// Cost of an assignment.
  double cost(const std::vector<bool>& labels) const;

 private:
  struct Edge {
    size_t from, to;
    double capacity;
  };
  std::vector<double> if_false_, if_true_;
  std::vector<Edge> edges_;
};

}  // namespace mcompress::numerics
