// SPDX-License-Identifier: Apache-2.0
#include "train/teacher_answers.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// Answers above this are not held in memory.
constexpr size_t kMostBytes = size_t{256} << 20;

/// Room for as many samples as there are, by the answer to the first `count` of them; undefined
/// where that is too much.
std::vector<at::Tensor> make_room(const std::vector<at::Tensor>& answers, size_t count,
                                  size_t samples) {
  size_t bytes = 0;
  for (const at::Tensor& answer : answers) {
    if (answer.dim() == 0 || answer.size(0) != static_cast<int64_t>(count)) return {};
    bytes += answer.nbytes();
  }
  if (bytes / count > kMostBytes / samples) return {};
  std::vector<at::Tensor> room;
  for (const at::Tensor& answer : answers) {
    auto shape = answer.sizes().vec();
    shape[0] = static_cast<int64_t>(samples);
    room.push_back(at::empty(shape, answer.options()));
  }
  return room;
}

}  // namespace

void TeacherAnswers::ask(Batch& batch) const {
  const Feeds feeds = to_feeds(batch);
  std::vector<at::Tensor> outputs;
  for (const Teacher& teacher : teachers_) {
    const std::vector<Tensor> results = teacher.run(feeds);
    for (size_t i = 1; outputs.empty() && i < results.size(); ++i) {
      batch.features.push_back(to_torch(results[i]));
    }
    outputs.push_back(to_torch(results.at(0)));
  }
  batch.soft = loss_.soft_target(outputs);
}

/// In the order of the data, so that a training that goes on gets the same answers.
void TeacherAnswers::ask_for_all() {
  keeps_ = false;
  if (!samples_.stacked()) return;
  std::vector<size_t> all(samples_.size());
  std::iota(all.begin(), all.end(), size_t{0});
  std::vector<at::Tensor> room;
  for (size_t first = 0; first < all.size(); first += chunk_) {
    const size_t count = std::min(chunk_, all.size() - first);
    Batch batch = samples_.batch(std::span(all).subspan(first, count));
    ask(batch);
    std::vector<at::Tensor> answers = std::move(batch.features);
    answers.push_back(batch.soft);
    if (first == 0) room = make_room(answers, count, all.size());
    if (room.empty()) return;
    for (size_t i = 0; i < room.size(); ++i) {
      room[i].narrow(0, static_cast<int64_t>(first), static_cast<int64_t>(count)).copy_(answers[i]);
    }
  }
  soft_ = room.back();
  room.pop_back();
  features_ = std::move(room);
}

void TeacherAnswers::fill(Batch& batch, std::span<const size_t> indices) {
  if (teachers_.empty()) return;
  if (keeps_) ask_for_all();
  if (!soft_.defined()) return ask(batch);
  const at::Tensor rows = to_rows(indices);
  batch.soft = soft_.index_select(0, rows);
  for (const at::Tensor& feature : features_) {
    batch.features.push_back(feature.index_select(0, rows));
  }
}

}  // namespace mcompress::train
