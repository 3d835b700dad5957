// SPDX-License-Identifier: Apache-2.0
#include "pipeline/data_roles.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "support/hash.h"

namespace mcompress {
namespace {

constexpr size_t kCalibrationSamples = 300;
constexpr size_t kHoldOutOneIn = 5;
constexpr size_t kPlentiful = 100;  // samples, of which a fifth is not missed

bool limits_metric(const std::vector<LimitSpec>& limits) {
  return std::any_of(limits.begin(), limits.end(), [](const LimitSpec& limit) {
    return limit.quantity == "metric" || limit.quantity == "metric-drop";
  });
}

bool steps_decide(const std::vector<StepSpec>& steps) {
  return std::any_of(steps.begin(), steps.end(), [](const StepSpec& step) {
    return (step.gate && limits_metric(step.gate->limits)) || limits_metric(step.until) ||
           steps_decide(step.steps);
  });
}

struct Split {
  std::vector<size_t> kept, held_out;
};

/// A seeded fifth, both parts in the data's order.
Split hold_out(size_t size, uint64_t seed) {
  std::vector<std::pair<uint64_t, size_t>> order(size);
  for (size_t i = 0; i < size; ++i) {
    order[i] = {support::hash128("hold-out/" + std::to_string(seed) + "/" + std::to_string(i)).low,
                i};
  }
  std::sort(order.begin(), order.end());
  Split split;
  const size_t held = std::max<size_t>(1, size / kHoldOutOneIn);
  for (size_t i = 0; i < size; ++i) {
    (i < held ? split.held_out : split.kept).push_back(order[i].second);
  }
  std::sort(split.kept.begin(), split.kept.end());
  std::sort(split.held_out.begin(), split.held_out.end());
  return split;
}

void hold_out_validation(DataRoles& roles, uint64_t seed) {
  auto& source = roles.training ? roles.training : roles.calibration;
  const std::string name = roles.training ? "training" : "calibration";
  if (!source || source->size() < 2) return;
  const Split split = hold_out(source->size(), seed);
  const std::string all = std::to_string(source->size());
  roles.validation = subset(source, split.held_out,
                            std::to_string(split.held_out.size()) + " of " + all +
                                " samples held out of " + name + ": " + source->description());
  source = subset(source, split.kept,
                  source->description() + " (" + std::to_string(split.kept.size()) + " of " + all +
                      " samples, the others decide)");
  roles.descriptions["validation"] = roles.validation->description();
  roles.descriptions[name] = source->description();
}

/// Statistics need few samples, and those that train are as good as others.
void calibrate_on_training(DataRoles& roles) {
  const size_t size = roles.training->size();
  const size_t count = std::min(size, kCalibrationSamples);
  std::vector<size_t> indices(count);
  for (size_t i = 0; i < count; ++i) indices[i] = i * size / count;
  roles.calibration = subset(roles.training, std::move(indices),
                             std::to_string(count) + " samples of the training data");
  roles.descriptions["calibration"] = roles.calibration->description();
}

}  // namespace

std::shared_ptr<const Dataset> DataRoles::any() const {
  for (const auto& data : {evaluation, validation, calibration, training}) {
    if (data) return data;
  }
  return nullptr;
}

std::optional<Feeds> DataRoles::shapes_for(const Model& model) const {
  for (const auto& data : {calibration, validation, training, evaluation}) {
    if (data) return sample_feeds(model, data.get());
  }
  return sample_feeds(model, nullptr);
}

bool decides_by_metric(const Recipe& recipe) { return steps_decide(recipe.steps); }

DataRoles open_roles(const Recipe& recipe, const std::vector<ValueInfo>& inputs, Deciding decides) {
  DataRoles roles;
  const auto open = [&](const char* role) -> std::shared_ptr<const Dataset> {
    const auto source = recipe.data.find(role);
    if (source == recipe.data.end()) return nullptr;
    try {
      auto data = open_dataset(source->second, inputs);
      roles.descriptions[role] = data->description();
      return data;
    } catch (Error& error) {
      error.with_context(std::string(role) + " data");
      throw;
    }
  };
  roles.calibration = open("calibration");
  roles.validation = open("validation");
  roles.evaluation = open("evaluation");
  roles.training = open("training");
  if (recipe.validate_on_evaluation && roles.evaluation) {
    roles.validation = roles.evaluation;
    roles.selected_on_evaluation = true;
    roles.descriptions["validation"] = "the evaluation data: figures are selected on it";
  }
  const auto& source = roles.training ? roles.training : roles.calibration;
  const bool plentiful = source && source->size() >= kPlentiful;
  if (!roles.validation &&
      (decides == Deciding::kRecipe || (decides == Deciding::kPasses && plentiful))) {
    hold_out_validation(roles, recipe.seed);
  }
  if (!roles.calibration && roles.training) calibrate_on_training(roles);
  return roles;
}

std::vector<ValueInfo> fed_inputs(const Model& model) {
  const auto initializers = model.graph().initializers();
  const std::set<std::string> given(initializers.begin(), initializers.end());
  std::vector<ValueInfo> inputs;
  for (auto& input : model.graph().inputs()) {
    if (!given.contains(input.name)) inputs.push_back(std::move(input));
  }
  return inputs;
}

std::optional<Feeds> sample_feeds(const Model& model, const Dataset* data) {
  if (data != nullptr && data->size() > 0) return data->feeds(0, 1);
  Feeds feeds;
  for (const auto& input : fed_inputs(model)) {
    const bool readable = data_type_bits(input.type) >= 8 && input.has_shape;
    if (!readable) return std::nullopt;
    Shape shape = input.shape;
    for (int64_t& d : shape) d = d < 0 ? 1 : d;
    feeds.push_back({input.name, Tensor(input.type, shape)});
  }
  return feeds;
}

}  // namespace mcompress
