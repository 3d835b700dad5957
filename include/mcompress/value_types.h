// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/model.h"

namespace mcompress {

/// Element type and shape of a value; `known_rank` false means nothing is known of the shape.
struct ValueType {
  DataType type = DataType::kUndefined;
  bool known_rank = false;
  Shape shape;  ///< -1: not static

  int rank() const { return known_rank ? static_cast<int>(shape.size()) : -1; }
  bool is_static() const {
    if (!known_rank) return false;
    for (const int64_t d : shape) {
      if (d < 0) return false;
    }
    return true;
  }
};

/// Types of all values of a model as the runtime sees them. A snapshot: edits do not update it; values
/// it does not know read as an unknown ValueType. Constants are answered from the model itself.
class ValueTypes {
 public:
  void set(const Graph* graph, std::string name, ValueType type) {
    types_[{graph, std::move(name)}] = std::move(type);
  }
  ValueType find(const ValueRef& value) const {
    if (!value) return {};
    const auto it = types_.find({&value.scope(), value.name()});
    if (it != types_.end()) return it->second;
    if (value.is_constant()) return {value.constant_type(), true, value.constant_shape()};
    return {};
  }
  size_t size() const { return types_.size(); }
  /// The same types for a copy of the model: values of graph `from[i]` become values of `to[i]`.
  ValueTypes moved(const std::vector<Graph*>& from, const std::vector<Graph*>& to) const {
    std::map<const Graph*, const Graph*> twin;
    for (size_t i = 0; i < from.size() && i < to.size(); ++i) twin[from[i]] = to[i];
    ValueTypes result;
    for (const auto& [key, type] : types_) {
      const auto it = twin.find(key.first);
      if (it != twin.end()) result.types_[{it->second, key.second}] = type;
    }
    return result;
  }

 private:
  std::map<std::pair<const Graph*, std::string>, ValueType> types_;
};

}  // namespace mcompress
