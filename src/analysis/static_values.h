// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress::analysis {

/// Entries of an integer scalar or vector, each known or not.
struct PartialIntegers {
  bool is_scalar = false;
  std::vector<std::optional<int64_t>> entries;

  bool is_known() const;
  int unknown_count() const;
};

/// What shape arithmetic comes to as far as the types of the values tell: Shape, Gather, Slice,
/// Concat, Squeeze, Unsqueeze, Cast and the four operations over integer vectors. Answers are kept,
/// so an object must not outlive an edit of the nodes that it was asked about.
class StaticValues {
 public:
  explicit StaticValues(const ValueTypes& types) : types_(types) {}
  /// Nullopt when even the length is unknown.
  std::optional<PartialIntegers> find(const ValueRef& value) { return find(value, 0); }

 private:
  std::optional<PartialIntegers> find(const ValueRef& value, int depth);
  std::optional<PartialIntegers> evaluate(const NodeRef& node, int depth);
  std::optional<PartialIntegers> shape(const NodeRef& node);
  std::optional<PartialIntegers> gather(const NodeRef& node, int depth);
  std::optional<PartialIntegers> slice(const NodeRef& node, int depth);
  std::optional<PartialIntegers> concat(const NodeRef& node, int depth);
  std::optional<PartialIntegers> reshape_rank(const NodeRef& node, bool to_scalar, int depth);
  std::optional<PartialIntegers> arithmetic(const NodeRef& node, int depth);

  const ValueTypes& types_;
  std::map<std::pair<const Graph*, std::string>, std::optional<PartialIntegers>> known_;
};

}  // namespace mcompress::analysis
