// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace mcompress {

/// Measured times of single operators in one thread on one kind of machine. What was measured to
/// decide is kept here: the same inputs, recipe, seed and table give the same bytes.
class CostTable {
 public:
  /// What the report calls it: a path, or "built-in cpu".
  std::string name;

  /// Nanoseconds of one Run, nullopt for what was not measured.
  std::optional<double> find(std::string_view key) const {
    const auto it = nanoseconds_.find(key);
    return it == nanoseconds_.end() ? std::nullopt : std::optional(it->second);
  }
  void set(std::string key, double nanoseconds) { nanoseconds_[std::move(key)] = nanoseconds; }
  const std::map<std::string, double, std::less<>>& entries() const { return nanoseconds_; }

 private:
  std::map<std::string, double, std::less<>> nanoseconds_;
};

}  // namespace mcompress
