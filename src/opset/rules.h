// SPDX-License-Identifier: Apache-2.0
// The table of operators that changed, one row for each version that changed them.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress::opset {

/// What adapters may ask besides the node.
class Context {
 public:
  /// `original` maps the graphs of a clone to those that `types` knows; identity when empty.
  Context(const ValueTypes& types, std::map<const Graph*, Graph*> original)
      : types_(types), original_(std::move(original)) {}

  ValueType type(const ValueRef& value) const;
  /// The value's element type; throws Unsupported naming the node when it is unknown.
  DataType element_type(NodeRef node, const ValueRef& value) const;

  /// Remembers that a Resize was an Upsample, which never shrinks.
  void mark_upsample(NodeRef node) { upsamples_.insert({&node.graph(), node.output_name(0)}); }
  bool was_upsample(NodeRef node) const {
    return upsamples_.count({&node.graph(), node.output_name(0)}) > 0;
  }

 private:
  const ValueTypes& types_;
  std::map<const Graph*, Graph*> original_;
  std::set<std::pair<const Graph*, std::string>> upsamples_;
};

/// Rewrites a node from the form of version v - 1 to that of version v; the values it computes keep
/// their names. Throws Unsupported where it cannot, with no promise about the node.
using Adapter = void (*)(Context&, NodeRef);

enum class Action {
  kUnchanged,  ///< every node that was valid means the same
  kAdapt,      ///< the node is rewritten
  kRefuse      ///< the meaning changed in a way that cannot be expressed
};

struct Rule {
  std::string_view op;
  int64_t since;  ///< the version that changed the operator
  Action action;
  std::string_view note;  ///< what changed; for kRefuse the reason that the user reads
  Adapter adapt = nullptr;
};

/// Sorted by operator, then by version.
std::span<const Rule> rules();
/// Null when `version` did not change `op`.
const Rule* find_rule(std::string_view op, int64_t version);

}  // namespace mcompress::opset
