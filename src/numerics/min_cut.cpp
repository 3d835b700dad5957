// SPDX-License-Identifier: Apache-2.0
#include "numerics/min_cut.h"

#include <algorithm>
#include <queue>

namespace mcompress::numerics {
namespace {

constexpr double kNothing = 1e-9;  // of capacity: what rounding leaves

/// Dinic's algorithm on adjacency lists of arcs and their reverses.
class Flow {
 public:
  explicit Flow(size_t nodes) : arcs_(nodes) {}

  void add(size_t from, size_t to, double capacity) {
    arcs_[from].push_back({to, arcs_[to].size(), capacity});
    arcs_[to].push_back({from, arcs_[from].size() - 1, 0});
  }

  void run(size_t source, size_t sink) {
    while (levels_from(source, sink)) {
      next_.assign(arcs_.size(), 0);
      while (push(source, sink, BinaryLabelling::kForbidden) > kNothing) {
      }
    }
  }

  /// Nodes that the source still reaches.
  std::vector<bool> reachable(size_t source) {
    levels_from(source, arcs_.size());
    std::vector<bool> result(arcs_.size());
    for (size_t i = 0; i < result.size(); ++i) result[i] = level_[i] >= 0;
    return result;
  }

 private:
  struct Arc {
    size_t to, reverse;
    double left;
  };

  bool levels_from(size_t source, size_t sink) {
    level_.assign(arcs_.size(), -1);
    level_[source] = 0;
    std::queue<size_t> queue({source});
    while (!queue.empty()) {
      const size_t at = queue.front();
      queue.pop();
      for (const Arc& arc : arcs_[at]) {
        if (arc.left <= kNothing || level_[arc.to] >= 0) continue;
        level_[arc.to] = level_[at] + 1;
        queue.push(arc.to);
      }
    }
    return sink < arcs_.size() && level_[sink] >= 0;
  }

  double push(size_t at, size_t sink, double limit) {
    if (at == sink) return limit;
    for (size_t& i = next_[at]; i < arcs_[at].size(); ++i) {
      Arc& arc = arcs_[at][i];
      if (arc.left <= kNothing || level_[arc.to] != level_[at] + 1) continue;
      const double pushed = push(arc.to, sink, std::min(limit, arc.left));
      if (pushed <= kNothing) continue;
      arc.left -= pushed;
      arcs_[arc.to][arc.reverse].left += pushed;
      return pushed;
    }
    return 0;
  }

  std::vector<std::vector<Arc>> arcs_;
  std::vector<int> level_;
  std::vector<size_t> next_;
};

}  // namespace

size_t BinaryLabelling::add_node(double if_false, double if_true) {
  if_false_.push_back(if_false);
  if_true_.push_back(if_true);
  return if_false_.size() - 1;
}

void BinaryLabelling::add_cost(size_t node, double if_false, double if_true) {
  if_false_[node] += if_false;
  if_true_[node] += if_true;
}

void BinaryLabelling::add_edge(size_t a_true, size_t b_false, double cost) {
  edges_.push_back({a_true, b_false, cost});
}

std::vector<bool> BinaryLabelling::solve() const {
  // "Forbidden" as a number that no sum of real costs reaches, so that flows stay finite.
  double total = 1;
  const auto add = [&](double cost) {
    if (cost < kForbidden) total += cost;
  };
  for (size_t i = 0; i < size(); ++i) {
    add(if_false_[i]);
    add(if_true_[i]);
  }
  for (const Edge& edge : edges_) add(edge.capacity);
  const auto finite = [&](double cost) { return std::min(cost, 2 * total); };
  const size_t source = size();
  const size_t sink = size() + 1;
  Flow flow(size() + 2);
  for (size_t i = 0; i < size(); ++i) {
    flow.add(source, i, finite(if_false_[i]));
    flow.add(i, sink, finite(if_true_[i]));
  }
  for (const Edge& edge : edges_) flow.add(edge.from, edge.to, finite(edge.capacity));
  flow.run(source, sink);
  auto labels = flow.reachable(source);
  labels.resize(size());
  return labels;
}

double BinaryLabelling::cost(const std::vector<bool>& labels) const {
  double sum = 0;
  for (size_t i = 0; i < size(); ++i) sum += labels[i] ? if_true_[i] : if_false_[i];
  for (const Edge& edge : edges_) {
    if (labels[edge.from] && !labels[edge.to]) sum += edge.capacity;
  }
  return sum;
}

}  // namespace mcompress::numerics
