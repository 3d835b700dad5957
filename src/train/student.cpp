// SPDX-License-Identifier: Apache-2.0
#include "train/student.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "mcompress/error.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// Names that the parameters are made of, in the order of the check.
std::vector<std::string> chosen_names(const TrainingCheck& check, const TrainingTask& task) {
  if (task.parameters.empty()) return check.parameters;
  std::vector<std::string> result;
  for (const std::string& name : task.parameters) {
    const auto& all = check.parameters;
    if (std::find(all.begin(), all.end(), name) != all.end()) {
      result.push_back(name);
    } else if (!task.quantizers.enabled) {  // else it may name integers
      throw Error(ErrorCode::kModel, "constant '" + name + "' cannot be trained")
          .hint(all.empty() ? "no constant of the model can"
                            : "one that can is '" + all.front() + "'");
    }
  }
  return result;
}

void require_no_obstacles(const TrainingCheck& check, const TrainingTask& task) {
  if (!check.obstacles.empty()) {
    throw Error(ErrorCode::kModel,
                fmt::format("cannot be trained: {}", fmt::join(check.obstacles, "; ")))
        .hint("leave the step out, or train the model where it was made");
  }
  if (check.has_prefix && !task.prefix) {
    throw Error(
        ErrorCode::kModel,
        fmt::format(
            "the part before {} has to run outside of the trainer, and nothing was given to run it",
            fmt::join(check.frozen, ", ")));
  }
}

/// Mean and variance of the batch normalizations of the main graph that are plain constants.
std::map<std::string, at::Tensor> running_statistics(const Model& model) {
  std::map<std::string, at::Tensor> result;
  for (const NodeRef node : model.graph().nodes()) {
    if (!node.is("BatchNormalization")) continue;
    for (const int index : {3, 4}) {
      const ValueRef value = node.input(index);
      if (value && value.is_constant())
        result[value.name()] = to_torch(*value.constant()).to(at::kFloat);
    }
  }
  return result;
}

}  // namespace

Student::Student(const Model& model, const TrainingTask& task)
    : head_(find_head(model, task.loss.output)), check_(check_model(model, head_.value)) {
  require_no_obstacles(check_, task);
  parameters_ = make_parameters(model, chosen_names(check_, task), task);
  if (parameters_.count() == 0) {
    throw Error(ErrorCode::kModel,
                "the model has nothing to train: no weight is a plain constant of floats")
        .hint("decode-weights makes plain constants of stored ones");
  }
  if (task.update_batch_norm) statistics_ = running_statistics(model);
  const auto names = parameters_.names();
  std::set<std::string> variables(names.begin(), names.end());
  for (const auto& [name, value] : statistics_) variables.insert(name);
  std::vector<std::string> outputs = {head_.value};
  for (const auto& pair : task.distill.features) outputs.push_back(pair.student);
  program_ = std::make_unique<Program>(model, check_.fed, outputs, variables);
}

Values Student::present_values() const {
  const at::NoGradGuard no_gradients;
  Values values = statistics_;
  for (const auto& parameter : parameters_.parameters) {
    values[parameter->name()] = parameter->value(parameter->leaves()).detach().clone();
  }
  return values;
}

void Student::add_copies(Values& values) const {
  for (const TiedCopy& copy : parameters_.copies) {
    const at::Tensor& source = values.at(parameters_.parameters[copy.source]->name());
    values[copy.name] = copy.transposed ? source.t() : source;
  }
}

Tensors Student::run(const Batch& batch, Values values, Execution& execution) const {
  add_copies(values);
  const auto& fed = program_->fed();
  for (const auto& [name, tensor] : batch.inputs) {
    if (std::find(fed.begin(), fed.end(), name) != fed.end()) values[name] = tensor;
  }
  return program_->run(values, execution);
}

Snapshot Student::snapshot() const {
  Snapshot result;
  for (const auto& parameter : parameters_.parameters)
    result.parameters.push_back(parameter->snapshot());
  for (const auto& [name, value] : statistics_) result.statistics[name] = value.clone();
  return result;
}

void Student::restore(const Snapshot& snapshot) {
  for (size_t i = 0; i < parameters_.parameters.size(); ++i) {
    parameters_.parameters[i]->restore(snapshot.parameters.at(i));
  }
  for (auto& [name, value] : statistics_) value = snapshot.statistics.at(name).clone();
}

void Student::store(Model& model) const {
  parameters_.store(model);
  for (const auto& [name, value] : statistics_) store_constant(model, name, value);
}

}  // namespace mcompress::train
