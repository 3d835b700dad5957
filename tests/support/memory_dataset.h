// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mcompress/dataset.h"

namespace mcompress::test {

/// Samples given one by one.
class MemoryDataset final : public Dataset {
 public:
  explicit MemoryDataset(std::vector<Feeds> samples) : samples_(std::move(samples)) {}
  size_t size() const override { return samples_.size(); }
  Feeds feeds(size_t first, size_t) const override { return samples_.at(first); }
  bool batchable() const override { return false; }
  std::optional<Tensor> labels(size_t, size_t) const override { return std::nullopt; }
  bool has_labels() const override { return false; }
  std::string description() const override { return "memory"; }
  std::string fingerprint() const override { return "memory"; }

 private:
  std::vector<Feeds> samples_;
};

}  // namespace mcompress::test
