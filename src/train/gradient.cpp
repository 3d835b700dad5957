// SPDX-License-Identifier: Apache-2.0
#include "train/gradient.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "support/parallel_for.h"
#include "support/random_bits.h"
#include "train/flush_denormals.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// A batch is cut into this many shards, but no smaller than that many samples.
constexpr int64_t kShards = 4;
constexpr int64_t kLeastShard = 8;
/// Samples from which the loss learns shapes.
constexpr size_t kProbeSamples = 8;

at::Tensor with_gradient(const at::Tensor& value) { return value.detach().requires_grad_(true); }

int64_t rows_of(const Batch& batch) {
  const bool scalar = batch.inputs.empty() || batch.inputs.front().second.dim() == 0;
  return scalar ? 1 : batch.inputs.front().second.size(0);
}

}  // namespace

GradientMaker::GradientMaker(const TrainingTask& task, const Samples& samples, Student& student)
    : task_(task), samples_(samples), student_(student), loss_(open_loss()) {
  training_ = std::make_unique<Source>(task, *loss_, samples);
  const Length length = length_of(task);
  const bool again = length.steps > length.per_epoch;
  if (again && !changes_samples(task.augment)) training_->answers.keep();
  open_validation();
}

void GradientMaker::open_validation() {
  if (!task_.validation || task_.validation->size() == 0 || !loss_->accepts(*task_.validation))
    return;
  validation_samples_ = std::make_unique<Samples>(task_.validation);
  validation_ = std::make_unique<Source>(task_, *loss_, *validation_samples_);
  validation_->answers.keep();
}

std::unique_ptr<Loss> GradientMaker::open_loss() const {
  const at::NoGradGuard no_gradients;
  std::vector<size_t> first(samples_.stacked() ? std::min(kProbeSamples, samples_.size()) : 1);
  for (size_t i = 0; i < first.size(); ++i) first[i] = i;
  Batch batch = samples_.batch(first);
  check_augmentation(batch, task_.augment);
  LossProbe probe;
  probe.samples = rows_of(batch);
  for (const Teacher& teacher : task_.distill.teachers) {
    probe.teachers.emplace_back();
    for (const Tensor& output : teacher.run(to_feeds(batch))) {
      probe.teachers.back().push_back(to_torch(output));
    }
  }
  run_prefix(batch);
  Execution execution;
  Tensors outputs = student_.run(batch, student_.present_values(), execution);
  probe.output = outputs.front();
  probe.features.assign(outputs.begin() + 1, outputs.end());
  return make_loss(task_.loss, task_.distill, student_.head(), *task_.data, probe, task_.seed);
}

/// Replaces the model's inputs by what the trained part is fed.
void GradientMaker::run_prefix(Batch& batch) const {
  if (!task_.prefix) return;
  const Feeds fed = task_.prefix(to_feeds(batch));
  batch.inputs.clear();
  for (const auto& feed : fed) batch.inputs.emplace_back(feed.name, to_torch(feed.tensor));
}

/// `number` counts the batches of the training.
Batch GradientMaker::make_batch(Source& source, std::span<const size_t> indices, How how,
                                uint64_t number) const {
  Batch batch = source.samples.batch(indices);
  if (how == How::kAugmented) augment(batch, task_.augment, task_.seed, number);
  if (how != How::kPlain) source.answers.fill(batch, indices);
  run_prefix(batch);
  return batch;
}

/// Where samples cannot be stacked, each is a shard.
std::vector<Batch> GradientMaker::make_shards(Source& source, std::span<const size_t> indices,
                                              How how, size_t step) const {
  const at::NoGradGuard no_gradients;
  std::vector<Batch> shards;
  if (!source.samples.stacked()) {
    for (size_t i = 0; i < indices.size(); ++i) {
      shards.push_back(make_batch(source, indices.subspan(i, 1), how, step * indices.size() + i));
    }
    return shards;
  }
  const Batch whole = make_batch(source, indices, how, step);
  const auto count = static_cast<int64_t>(indices.size());
  const int64_t size = std::max(kLeastShard, (count + kShards - 1) / kShards);
  for (int64_t first = 0; first < count; first += size) {
    shards.push_back(shard(whole, first, std::min(size, count - first)));
  }
  return shards;
}

/// Forward and backward on the calling thread. `values`: of the parameters, the same memory for all
/// shards. `rows`: of the whole batch.
GradientMaker::Shard GradientMaker::run_shard(Batch& batch, const std::vector<at::Tensor>& values,
                                              double rows, Execution& execution,
                                              const Values* teacher) const {
  if (teacher != nullptr) {
    const at::NoGradGuard no_gradients;
    Execution plain;
    batch.soft = loss_->self_target(student_.run(batch, *teacher, plain).front());
  }
  std::vector<at::Tensor> sources;
  Values given = student_.statistics();
  for (size_t i = 0; i < values.size(); ++i) {
    sources.push_back(with_gradient(values[i]));
    given[student_.parameters().parameters[i]->name()] = sources.back();
  }
  std::vector<at::Tensor> own;
  for (const at::Tensor& leaf : loss_->leaves()) own.push_back(with_gradient(leaf));
  sources.insert(sources.end(), own.begin(), own.end());
  Tensors outputs = student_.run(batch, std::move(given), execution);
  const at::Tensor output = outputs.front();
  outputs.erase(outputs.begin());
  const at::Tensor loss = (*loss_)(output, outputs, batch, own) / rows;
  Shard result;
  result.loss = loss.item<double>();
  if (loss.requires_grad()) {
    result.gradients =
        torch::autograd::grad({loss}, sources, {}, false, false, /*allow_unused=*/true);
  } else {
    result.gradients.resize(sources.size());
  }
  result.statistics = std::move(execution.recorded_statistics);
  result.rows = static_cast<double>(rows_of(batch));
  return result;
}

std::map<std::string, at::Tensor> GradientMaker::mean_statistics(const std::vector<Shard>& shards) {
  std::map<std::string, at::Tensor> result;
  double rows = 0;
  for (const Shard& shard : shards) {
    rows += shard.rows;
    for (const auto& [name, value] : shard.statistics) {
      const auto [at, fresh] = result.try_emplace(name, value.detach() * shard.rows);
      if (!fresh) at->second.add_(value.detach(), shard.rows);
    }
  }
  for (auto& [name, value] : result) value.div_(rows);
  return result;
}

/// Each value, made of its leaves once: shards see the value, and the sum of their gradients goes
/// back.
GradientMaker::Made GradientMaker::make_values() const {
  Made result;
  for (const auto& parameter : student_.parameters().parameters) {
    auto& leaves = result.leaves.emplace_back();
    for (const at::Tensor& leaf : parameter->leaves()) leaves.push_back(with_gradient(leaf));
    result.values.push_back(parameter->value(leaves));
    result.plain.push_back(result.values.back().detach());
  }
  return result;
}

void GradientMaker::add_up(std::span<Shard> shards, std::vector<at::Tensor>& sums) {
  sums.resize(shards.front().gradients.size());
  parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t at, int64_t) {
    const FlushDenormals flush;
    const auto i = static_cast<size_t>(at);
    for (Shard& shard : shards) {
      at::Tensor& gradient = shard.gradients[i];
      if (!gradient.defined()) continue;
      // A copy, because the gradients of two values may be one tensor.
      sums[i] = sums[i].defined() ? sums[i].add_(gradient) : gradient.contiguous().clone();
      gradient.reset();
    }
  });
}

/// From values to leaves, in the order of the optimizer's.
std::vector<at::Tensor> GradientMaker::to_leaves(const Made& made,
                                                 const std::vector<at::Tensor>& sums) {
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < made.values.size(); ++i) {
    const auto& leaves = made.leaves[i];
    std::vector<at::Tensor> back(leaves.size());
    if (leaves.size() == 1 && made.values[i].is_same(leaves[0])) {
      back[0] = sums[i];
    } else if (sums[i].defined() && made.values[i].requires_grad()) {
      back = torch::autograd::grad({made.values[i]}, leaves, {sums[i]}, false, false,
                                   /*allow_unused=*/true);
    }
    result.insert(result.end(), back.begin(), back.end());
  }
  result.insert(result.end(), sums.begin() + static_cast<std::ptrdiff_t>(made.values.size()),
                sums.end());
  return result;
}

Gradient GradientMaker::compute(std::span<const size_t> indices, size_t step,
                                const Values* teacher) const {
  const Made made = make_values();
  std::vector<Batch> batches = make_shards(*training_, indices, How::kAugmented, step);
  double rows = 0;
  for (const Batch& batch : batches) rows += static_cast<double>(rows_of(batch));
  std::vector<Shard> shards(batches.size());
  std::vector<at::Tensor> sums;
  const uint64_t key = support::random_bits(support::random_bits(task_.seed, 0xd0), step);
  // As many at a time as there are threads: no more than that many gradients of all weights are
  // held. The order of the sum is the same.
  const auto wave = static_cast<size_t>(thread_count());
  for (size_t first = 0; first < shards.size(); first += wave) {
    const size_t last = std::min(first + wave, shards.size());
    parallel_for(
        static_cast<int64_t>(first), static_cast<int64_t>(last), 1, [&](int64_t at, int64_t) {
          const FlushDenormals flush;
          const auto i = static_cast<size_t>(at);
          Execution execution;
          execution.training = true;
          execution.batch_statistics = task_.update_batch_norm;
          execution.learn_scales = task_.quantizers.enabled && task_.quantizers.learn_scales;
          execution.generator =
              at::make_generator<at::CPUGeneratorImpl>(support::random_bits(key, i));
          shards[i] = run_shard(batches[i], made.plain, rows, execution, teacher);
          batches[i] = {};
        });
    add_up(std::span(shards).subspan(first, last - first), sums);
  }
  Gradient result;
  for (const Shard& shard : shards) result.loss += shard.loss;
  result.values.assign(sums.begin(),
                       sums.begin() + static_cast<std::ptrdiff_t>(made.values.size()));
  result.leaves = to_leaves(made, sums);
  result.statistics = mean_statistics(shards);
  return result;
}

std::map<std::string, at::Tensor> GradientMaker::statistics(std::span<const size_t> indices) const {
  const Values values = student_.present_values();
  std::vector<Batch> batches = make_shards(*training_, indices, How::kPlain, 0);
  std::vector<Shard> shards(batches.size());
  parallel_for(0, static_cast<int64_t>(shards.size()), 1, [&](int64_t at, int64_t) {
    const at::NoGradGuard no_gradients;
    const auto i = static_cast<size_t>(at);
    Execution execution;
    execution.batch_statistics = true;
    student_.run(batches[i], values, execution);
    shards[i].statistics = std::move(execution.recorded_statistics);
    shards[i].rows = static_cast<double>(rows_of(batches[i]));
  });
  return mean_statistics(shards);
}

std::optional<double> GradientMaker::validation_loss() const {
  if (!validation_) return std::nullopt;
  const Values values = student_.present_values();
  std::vector<size_t> all(validation_->samples.size());
  std::iota(all.begin(), all.end(), size_t{0});
  double sum = 0, rows = 0;
  for (size_t first = 0; first < all.size(); first += task_.batch) {
    const auto indices = std::span(all).subspan(first, std::min(task_.batch, all.size() - first));
    std::vector<Batch> batches = make_shards(*validation_, indices, How::kTaught, 0);
    std::vector<double> losses(batches.size());
    parallel_for(0, static_cast<int64_t>(batches.size()), 1, [&](int64_t at, int64_t) {
      const FlushDenormals flush;
      const at::NoGradGuard no_gradients;
      const Batch& batch = batches[static_cast<size_t>(at)];
      Execution execution;
      Tensors outputs = student_.run(batch, values, execution);
      const at::Tensor output = outputs.front();
      outputs.erase(outputs.begin());
      losses[static_cast<size_t>(at)] =
          (*loss_)(output, outputs, batch, loss_->leaves()).item<double>();
    });
    for (const double loss : losses) sum += loss;
    for (const Batch& batch : batches) rows += static_cast<double>(rows_of(batch));
  }
  return sum / rows;
}

}  // namespace mcompress::train
