// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mcompress/dataset.h"

namespace mcompress::test {

/// Rows of one input, with or without a label each; any number makes a batch.
class RowDataset final : public Dataset {
 public:
  RowDataset(std::string input, Shape row, std::vector<float> values, std::vector<int64_t> labels)
      : input_(std::move(input)),
        row_(std::move(row)),
        values_(std::move(values)),
        labels_(std::move(labels)) {}
  size_t size() const override { return values_.size() / width(); }
  Feeds feeds(size_t first, size_t count) const override {
    Shape shape = row_;
    shape.insert(shape.begin(), static_cast<int64_t>(count));
    const std::span<const float> rows(values_);
    return {{input_, Tensor::from(shape, rows.subspan(first * width(), count * width()))}};
  }
  bool batchable() const override { return true; }
  std::optional<Tensor> labels(size_t first, size_t count) const override {
    if (labels_.empty()) return std::nullopt;
    const std::span<const int64_t> all(labels_);
    return Tensor::from(Shape{static_cast<int64_t>(count)}, all.subspan(first, count));
  }
  bool has_labels() const override { return !labels_.empty(); }
  std::string description() const override { return "rows"; }
  std::string fingerprint() const override { return "rows"; }

 private:
  size_t width() const { return static_cast<size_t>(element_count(row_)); }

  std::string input_;
  Shape row_;
  std::vector<float> values_;
  std::vector<int64_t> labels_;
};

/// Points of the plane named x; the class is 1 where their sum is positive.
inline std::shared_ptr<const Dataset> two_classes(size_t count, bool with_labels) {
  std::vector<float> values;
  std::vector<int64_t> labels;
  uint64_t state = 1;
  const auto next = [&state] {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<float>(static_cast<double>(state >> 33) / 1073741824.0 - 1);
  };
  for (size_t i = 0; i < count; ++i) {
    const float a = next(), b = next();
    values.insert(values.end(), {a, b});
    labels.push_back(a + b > 0 ? 1 : 0);
  }
  if (!with_labels) labels.clear();
  return std::make_shared<RowDataset>("x", Shape{2}, std::move(values), std::move(labels));
}

}  // namespace mcompress::test
