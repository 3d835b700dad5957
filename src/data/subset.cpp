// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "mcompress/dataset.h"
#include "mcompress/error.h"
#include "support/hash.h"

namespace mcompress {
namespace {

/// Tensors of equal type and shape but for the first axis, one after the other.
Tensor concatenate(const std::vector<Tensor>& parts) {
  if (parts.size() == 1) return parts[0];
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Tensor& part : parts) shape[0] += part.shape()[0];
  Tensor result(parts[0].type(), std::move(shape));
  std::span<std::byte> to = result.mutate();
  for (const Tensor& part : parts) {
    if (!part.bytes().empty()) std::memcpy(to.data(), part.bytes().data(), part.byte_size());
    to = to.subspan(part.byte_size());
  }
  return result;
}

class Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> base, std::vector<size_t> indices, std::string description)
      : base_(std::move(base)), indices_(std::move(indices)), description_(std::move(description)) {
    for (const size_t index : indices_) {
      if (index < base_->size()) continue;
      throw Error(ErrorCode::kBug,
                  fmt::format("{}: sample {} of {}", description_, index, base_->size()));
    }
  }

  size_t size() const override { return indices_.size(); }
  size_t rows_per_sample() const override { return base_->rows_per_sample(); }
  size_t rows(size_t sample) const override { return base_->rows(indices_.at(sample)); }
  bool batchable() const override { return base_->batchable(); }
  bool has_labels() const override { return base_->has_labels(); }
  size_t index_in_file(size_t sample) const override {
    return base_->index_in_file(indices_.at(sample));
  }
  std::string description() const override { return description_; }
  std::vector<std::string> warnings() const override { return base_->warnings(); }

  Feeds feeds(size_t first, size_t count) const override {
    require_range(first, count);
    if (const auto run = one_run(first, count)) return base_->feeds(*run, count);
    std::vector<Feeds> single;
    for (size_t i = 0; i < count; ++i) single.push_back(base_->feeds(indices_[first + i], 1));
    Feeds feeds = single[0];
    for (size_t input = 0; input < feeds.size(); ++input) {
      // Constants are the same in every sample and have no sample axis.
      if (feeds[input].tensor.shape().empty() || is_constant(single, input)) continue;
      std::vector<Tensor> parts;
      for (const Feeds& one : single) parts.push_back(one[input].tensor);
      feeds[input].tensor = concatenate(parts);
    }
    return feeds;
  }

  std::optional<Tensor> labels(size_t first, size_t count) const override {
    if (!has_labels()) return std::nullopt;
    require_range(first, count);
    if (const auto run = one_run(first, count)) return base_->labels(*run, count);
    std::vector<Tensor> parts;
    for (size_t i = 0; i < count; ++i) parts.push_back(*base_->labels(indices_[first + i], 1));
    return concatenate(parts);
  }

  std::string fingerprint() const override {
    support::Hasher hasher;
    hasher.update(base_->fingerprint());
    for (const size_t index : indices_) hasher.update(fmt::format(" {}", index));
    return hasher.digest().hex();
  }

 private:
  void require_range(size_t first, size_t count) const {
    if (count != 0 && first < size() && count <= size() - first) return;
    throw Error(ErrorCode::kBug, fmt::format("{}: samples {} to {} of {}", description_, first,
                                             first + count, size()));
  }

  /// Where the samples lie side by side in the base they are read at once.
  std::optional<size_t> one_run(size_t first, size_t count) const {
    for (size_t i = 1; i < count; ++i) {
      if (indices_[first + i] != indices_[first] + i) return std::nullopt;
    }
    return indices_[first];
  }

  /// A base that stacks samples repeats a constant unstacked: two samples at once tell.
  bool is_constant(const std::vector<Feeds>& single, size_t input) const {
    if (base_->size() < 2) return false;
    return base_->feeds(0, 2)[input].tensor.shape() == single[0][input].tensor.shape();
  }

  std::shared_ptr<const Dataset> base_;
  std::vector<size_t> indices_;
  std::string description_;
};

}  // namespace

std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> base,
                                      std::vector<size_t> indices, std::string description) {
  return std::make_shared<Subset>(std::move(base), std::move(indices), std::move(description));
}

}  // namespace mcompress
