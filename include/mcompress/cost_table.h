// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace mcompress {

/// The machine that times were measured on. They hold on no other one.
struct CostMachine {
  std::string cpu;               ///< "Intel(R) Xeon(R) Processor"
  std::string instruction_sets;  ///< those that decide kernels
  std::string runtime;           ///< version of ONNX Runtime
  int threads = 1;
  friend bool operator==(const CostMachine&, const CostMachine&) = default;
};

/// Measured times of single operators in one thread on one kind of machine. What was measured to
/// decide is kept here: the same inputs, recipe, seed and table give the same bytes. The keys are
/// those of quantization/costs.h: "Conv 64x32x3x3 rows 784: static int8".
class CostTable {
 public:
  /// What the report calls it: a path, or "built-in cpu".
  std::string name;
  /// Of the file: "xxh3-128:..."; "" of a table that is in no file.
  std::string hash;
  CostMachine machine;

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
