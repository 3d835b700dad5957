// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/trainer.h"

namespace mcompress::test {

/// Keeps the task and the model that it was given, and does to the model what the test says.
class FakeTrainer final : public Trainer {
 public:
  explicit FakeTrainer(std::vector<std::string> parameters = {}) {
    check_.fed = {"x"};
    check_.parameters = std::move(parameters);
  }
  std::string version() const override { return "fake"; }
  TrainingCheck check(const Model&, const std::string&) override { return check_; }
  TrainingResult train(Model& model, const TrainingTask& task) override {
    task_ = task;
    given_ = model.clone();
    return on_train_ ? on_train_(model, task) : TrainingResult{};
  }
  std::vector<Tensor> run(const Model&, const Feeds&, const std::vector<std::string>&) override {
    return {};
  }

  TrainingCheck check_;
  TrainingTask task_;
  std::optional<Model> given_;
  std::function<TrainingResult(Model&, const TrainingTask&)> on_train_;
};

}  // namespace mcompress::test
