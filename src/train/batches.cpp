// SPDX-License-Identifier: Apache-2.0
#include "train/batches.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/random_bits.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// Data above this is not held in memory.
constexpr size_t kMostBytes = size_t{1} << 30;
/// Samples that are read at a time.
constexpr size_t kChunk = 512;

/// Sequences of labels are as long as the longest of those that were read together; -1 fills up.
at::Tensor widened(const at::Tensor& labels, int64_t width) {
  if (labels.dim() < 2 || labels.size(1) >= width) return labels;
  auto shape = labels.sizes().vec();
  shape[1] = width - labels.size(1);
  return at::cat({labels, at::full(shape, -1, labels.options())}, 1);
}

at::Tensor stack_labels(std::vector<at::Tensor>& parts) {
  int64_t width = 0;
  for (const at::Tensor& part : parts) width = std::max(width, part.dim() < 2 ? 0 : part.size(1));
  for (at::Tensor& part : parts) part = widened(part, width);
  return at::cat(parts);
}

Batch stack(std::vector<Batch>& parts) {
  Batch result;
  std::vector<at::Tensor> labels;
  for (size_t i = 0; i < parts.front().inputs.size(); ++i) {
    std::vector<at::Tensor> rows;
    for (const Batch& part : parts) rows.push_back(part.inputs[i].second);
    result.inputs.emplace_back(parts.front().inputs[i].first, at::cat(rows));
  }
  for (const Batch& part : parts) {
    if (part.labels.defined()) labels.push_back(part.labels);
  }
  if (!labels.empty()) result.labels = stack_labels(labels);
  return result;
}

}  // namespace

std::vector<size_t> shuffled(size_t count, uint64_t seed, uint64_t epoch) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  const uint64_t key = support::random_bits(support::random_bits(seed, 0x5f), epoch);
  for (size_t i = count; i > 1; --i) {
    const auto other = support::random_below(key, i, static_cast<int64_t>(i));
    std::swap(order[i - 1], order[static_cast<size_t>(other)]);
  }
  return order;
}

Samples::Samples(std::shared_ptr<const Dataset> data) : data_(std::move(data)) {
  stacked_ = data_->batchable() && data_->rows_per_sample() == 1;
  if (!stacked_ || data_->size() == 0) return;
  size_t bytes = 0;
  for (const auto& feed : data_->feeds(0, 1)) bytes += feed.tensor.byte_size();
  if (bytes <= kMostBytes / data_->size()) read_all();
}

void Samples::read_all() {
  const size_t count = data_->size();
  std::vector<at::Tensor> labels;
  for (size_t first = 0; first < count; first += kChunk) {
    const size_t taken = std::min(kChunk, count - first);
    const Batch part = read(first, taken);
    for (size_t i = 0; i < part.inputs.size(); ++i) {
      const auto& [name, values] = part.inputs[i];
      if (first == 0) {
        auto shape = values.sizes().vec();
        shape[0] = static_cast<int64_t>(count);
        all_.inputs.emplace_back(name, at::empty(shape, values.options()));
      }
      all_.inputs[i]
          .second.narrow(0, static_cast<int64_t>(first), static_cast<int64_t>(taken))
          .copy_(values);
    }
    if (part.labels.defined()) labels.push_back(part.labels);
  }
  if (!labels.empty()) all_.labels = stack_labels(labels);
}

Batch Samples::read(size_t first, size_t count) const {
  Batch batch;
  for (const auto& feed : data_->feeds(first, count))
    batch.inputs.emplace_back(feed.name, to_torch(feed.tensor));
  if (const auto labels = data_->labels(first, count)) batch.labels = to_torch(*labels);
  return batch;
}

Batch Samples::batch(std::span<const size_t> indices) const {
  if (all_.inputs.empty()) {
    std::vector<Batch> parts;
    for (const size_t index : indices) parts.push_back(read(index, 1));
    return parts.size() == 1 ? parts.front() : stack(parts);
  }
  const at::Tensor rows = to_rows(indices);
  Batch batch;
  for (const auto& [name, values] : all_.inputs)
    batch.inputs.emplace_back(name, values.index_select(0, rows));
  if (all_.labels.defined()) batch.labels = all_.labels.index_select(0, rows);
  return batch;
}

at::Tensor to_rows(std::span<const size_t> indices) {
  at::Tensor rows = at::empty({static_cast<int64_t>(indices.size())}, at::kLong);
  std::copy(indices.begin(), indices.end(), rows.data_ptr<int64_t>());
  return rows;
}

Length length_of(const TrainingTask& task) {
  const size_t per_epoch = task.data->size() / task.batch;
  const double wanted = task.epochs * static_cast<double>(per_epoch);
  return {per_epoch,
          task.steps.value_or(static_cast<size_t>(std::max<long long>(1, std::llround(wanted))))};
}

Feeds to_feeds(const Batch& batch) {
  Feeds feeds;
  for (const auto& [name, values] : batch.inputs) feeds.push_back({name, from_torch(values)});
  return feeds;
}

}  // namespace mcompress::train
