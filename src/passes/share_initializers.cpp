// SPDX-License-Identifier: Apache-2.0
//
// Stores equal constants once.
//
//   Before:  y = Add(Mul(x, a), b)     a = [1, 2, 3]   b = [1, 2, 3]
//   After:   y = Add(Mul(x, a), a)
//
// Initializers and Constant nodes alike. Equal means same type, shape and bytes, so -0 differs from
// 0 and NaNs are told apart. Constants of different bodies move to the innermost graph around all
// of them.
//
// Of the names the shortest stays, so that even of a scalar what is around the value is saved: 10
// bytes and the name.
//
// Refuses: graph inputs and outputs, strings, and constants below `min-bytes`.
#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "ir/contents.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "support/hash.h"

namespace mcompress::passes {
namespace {

bool can_move(const ValueRef& value) {
  return value && value.is_constant() && !value.is_graph_input() && !value.is_graph_output();
}

std::vector<ValueRef> all_constants(Model& model) {
  std::vector<ValueRef> result;
  for (Graph* graph : model.graphs()) {
    for (const std::string& name : graph->initializers()) {
      const ValueRef value = graph->find(name);
      if (can_move(value)) result.push_back(value);
    }
    for (const NodeRef node : graph->nodes()) {
      if (node.is("Constant") && can_move(node.output(0))) result.push_back(node.output(0));
    }
  }
  return result;
}

int depth_of(const Graph* graph) {
  int depth = 0;
  for (; graph->parent() != nullptr; graph = graph->parent()) ++depth;
  return depth;
}

Graph* common_graph(Graph* a, Graph* b) {
  while (a != b) {
    if (depth_of(a) >= depth_of(b)) {
      a = a->parent();
    } else {
      b = b->parent();
    }
  }
  return a;
}

/// What earlier steps recorded of a constant holds for the one that replaces it.
void move_constraints(const ValueRef& from, const ValueRef& to) {
  auto& constraints = from.scope().model().state().constraints;
  const auto [first, last] = constraints.equal_range(from.name());
  const std::multimap<std::string, TensorConstraint> moved(first, last);
  constraints.erase(from.name());
  for (const auto& [name, constraint] : moved) {
    const auto [a, b] = constraints.equal_range(to.name());
    const bool known = std::any_of(
        a, b, [&c = constraint](const auto& entry) { return entry.second.kind == c.kind; });
    if (!known) constraints.emplace(to.name(), constraint);
  }
}

void remove_constant(const ValueRef& value) {
  if (const NodeRef node = value.producer()) {
    value.scope().erase(node);
  } else {
    value.scope().erase_initializer(value.name());
  }
}

/// Makes the initializer of the shortest name stand for all, unless it is out of sight of some of
/// them; a Constant node may stand after a reader, and a new initializer does.
void merge(const std::vector<ValueRef>& equal) {
  Graph* home = &equal[0].scope();
  for (const ValueRef& value : equal) home = common_graph(home, &value.scope());
  ValueRef keeper;
  for (const ValueRef& value : equal) {
    if (&value.scope() != home || value.producer()) continue;
    if (!keeper || value.name().size() < keeper.name().size()) keeper = value;
  }
  if (!keeper) keeper = home->add_constant(equal[0].name(), *equal[0].constant());
  for (const ValueRef& value : equal) {
    if (value == keeper) continue;
    value.scope().replace_uses(value, keeper);
    move_constraints(value, keeper);
    remove_constant(value);
  }
}

class ShareInitializers : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "share-initializers",
        .summary = "store equal constants once",
        .fidelity = Fidelity::kExact,
        .cost = "reads the constants that are alike at their ends",
        .benefit = "smaller file, where weights are tied or exported twice",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("min-bytes", min_bytes_, "Leave constants alone that are smaller").at_least(0);
  }

  bool run(Model& model, PassContext& context) override {
    using Header = std::tuple<DataType, Shape>;
    std::map<Header, std::vector<ValueRef>> by_header;
    for (const ValueRef& value : all_constants(model)) {
      const Shape shape = value.constant_shape();
      const size_t bytes = packed_bytes(value.constant_type(), element_count(shape));
      if (bytes < static_cast<size_t>(min_bytes_) || bytes == 0) continue;
      by_header[{value.constant_type(), shape}].push_back(value);
    }
    int64_t merged = 0;
    for (const auto& [header, values] : by_header) {
      if (values.size() > 1) merged += share_among(values);
    }
    context.count("constants merged", merged);
    return merged > 0;
  }

 private:
  /// Nearly all constants that are not equal differ at their ends, and the rest need not be read.
  static int64_t share_among(const std::vector<ValueRef>& values) {
    std::map<support::Hash128, std::vector<ValueRef>> by_ends;
    for (const ValueRef& value : values) {
      if (const auto hash = ir::hash_of_ends(value)) by_ends[*hash].push_back(value);
    }
    int64_t merged = 0;
    for (const auto& [ends, candidates] : by_ends) {
      if (candidates.size() > 1) merged += share_among_alike(candidates);
    }
    return merged;
  }

  /// Hashes first, so that at most two payloads are in memory.
  static int64_t share_among_alike(const std::vector<ValueRef>& values) {
    std::map<support::Hash128, std::vector<ValueRef>> by_hash;
    for (const ValueRef& value : values) {
      const auto tensor = value.constant();
      if (!tensor) continue;
      by_hash[support::hash128(tensor->bytes())].push_back(value);
    }
    int64_t merged = 0;
    for (const auto& [hash, candidates] : by_hash) {
      std::vector<ValueRef> rest = candidates;
      while (rest.size() > 1) {
        const auto first = rest[0].constant();
        const auto different = std::stable_partition(
            rest.begin(), rest.end(),
            [&first](const ValueRef& value) { return *value.constant() == *first; });
        const std::vector<ValueRef> equal(rest.begin(), different);
        if (equal.size() > 1) merge(equal);
        merged += static_cast<int64_t>(equal.size()) - 1;
        rest.erase(rest.begin(), different);
      }
    }
    return merged;
  }

  int64_t min_bytes_ = 0;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(share_initializers, ShareInitializers)
