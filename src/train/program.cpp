// SPDX-License-Identifier: Apache-2.0
#include "train/program.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>

#include "forms/stored_form.h"
#include "mcompress/error.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// Kernels of libtorch for half precision on a CPU are few and slow.
at::Tensor in_single_precision(at::Tensor tensor) {
  const bool half = tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
  return half ? tensor.to(at::kFloat) : tensor;
}

/// Draws random numbers, so that it is not computed once even where its inputs are constants.
bool is_random(const NodeRef& node) {
  return node.op() == "Dropout" || node.op().starts_with("Random") || node.op() == "Bernoulli";
}

}  // namespace

Program::Program(const Model& model, std::vector<std::string> fed, std::vector<std::string> outputs,
                 const std::set<std::string>& variables)
    : model_(model.clone()),
      opset_(model.opset()),
      fed_(std::move(fed)),
      outputs_(std::move(outputs)),
      given_(variables) {
  model_.freeze_inputs();
  given_.insert(fed_.begin(), fed_.end());
  for (const auto& name : given_) slot(name);
  std::set<const onnx::NodeProto*> wanted;
  for (const auto& name : outputs_) {
    const ValueRef value = model_.graph().find(name);
    if (!value) throw Error(ErrorCode::kModel, "the model has no value '" + name + "'");
    add_value(value, wanted);
    output_slots_.push_back(slot(name));
  }
  add_steps(wanted);
  compute_constants();
  find_last_reads();
}

int Program::slot(const std::string& name) {
  if (name.empty()) return -1;
  const auto [it, fresh] = slots_.try_emplace(name, static_cast<int>(slots_.size()));
  if (fresh) initial_.emplace_back();
  return it->second;
}

/// Loads what `value` is when it is constant, else adds the nodes that compute it to `wanted`.
void Program::add_value(const ValueRef& value, std::set<const onnx::NodeProto*>& wanted) {
  std::vector<ValueRef> open = {value};
  while (!open.empty()) {
    const ValueRef next = open.back();
    open.pop_back();
    if (!next || given_.count(next.name()) > 0) continue;
    const int at = slot(next.name());
    if (initial_[static_cast<size_t>(at)].defined()) continue;
    if (const auto plain = forms::constant_or_form(next)) {
      initial_[static_cast<size_t>(at)] = in_single_precision(to_torch(*plain));
      continue;
    }
    const NodeRef node = next.producer();
    if (!node)
      throw Error(ErrorCode::kModel,
                  "value '" + next.name() + "' is an input that nothing is given for");
    if (!wanted.insert(node.proto()).second) continue;
    for (int i = 0; i < node.input_count(); ++i) open.push_back(node.input(i));
  }
}

void Program::add_steps(const std::set<const onnx::NodeProto*>& wanted) {
  for (const NodeRef node : model_.graph().nodes()) {
    if (wanted.count(node.proto()) == 0) continue;
    const OpInfo* const info = find_op(node);
    if (info == nullptr)
      throw Unsupported(node.label() + ": the trainer does not know " + node.op());
    if (const auto why = info->obstacle != nullptr ? info->obstacle(node) : ""; !why.empty()) {
      throw Unsupported(node.label() + ": " + why);
    }
    Step step = {.node = node, .run = info->run, .inputs = {}, .outputs = {}, .dropped = {}};
    for (int i = 0; i < node.input_count(); ++i) step.inputs.push_back(slot(node.input_name(i)));
    for (int i = 0; i < node.output_count(); ++i) step.outputs.push_back(slot(node.output_name(i)));
    steps_.push_back(std::move(step));
  }
}

void Program::compute_constants() {
  const at::NoGradGuard no_gradients;
  Execution execution = {.opset = opset_};
  std::vector<Step> left;
  for (auto& step : steps_) {
    const auto known = [&](int slot) {
      return slot < 0 || initial_[static_cast<size_t>(slot)].defined();
    };
    if (is_random(step.node) || !std::all_of(step.inputs.begin(), step.inputs.end(), known)) {
      left.push_back(std::move(step));
      continue;
    }
    Tensors inputs;
    for (const int slot : step.inputs) {
      inputs.push_back(slot < 0 ? at::Tensor() : initial_[static_cast<size_t>(slot)]);
    }
    Tensors results = run_step(step, inputs, execution);
    for (size_t i = 0; i < std::min(step.outputs.size(), results.size()); ++i) {
      if (step.outputs[i] < 0) continue;
      const auto at = static_cast<size_t>(step.outputs[i]);
      const std::string& name = step.node.output_name(static_cast<int>(i));
      if (given_.count(name) == 0) initial_[at] = std::move(results[i]);
    }
  }
  steps_ = std::move(left);
}

/// Values that no later step reads are let go as early as can be, and constants that no step reads
/// at all.
void Program::find_last_reads() {
  std::vector<bool> read_later(initial_.size(), false);
  for (const int slot : output_slots_) read_later[static_cast<size_t>(slot)] = true;
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    const auto note = [&](int slot) {
      if (slot < 0 || read_later[static_cast<size_t>(slot)]) return;
      read_later[static_cast<size_t>(slot)] = true;
      step->dropped.push_back(slot);
    };
    for (const int slot : step->outputs) note(slot);
    for (const int slot : step->inputs) note(slot);
  }
  for (size_t i = 0; i < initial_.size(); ++i) {
    if (!read_later[i]) initial_[i].reset();
  }
}

Tensors Program::run_step(const Step& step, std::span<const at::Tensor> inputs,
                          Execution& execution) {
  try {
    Tensors results = step.run(step.node, inputs, execution);
    for (at::Tensor& result : results) {
      if (result.defined()) result = in_single_precision(std::move(result));
    }
    return results;
  } catch (const Unsupported& reason) {
    throw Unsupported(step.node.label() + ": " + reason.reason());
  } catch (const c10::Error& error) {
    std::string what = error.what_without_backtrace();
    if (what.find("allocate memory") != std::string::npos) throw;
    if (const auto end = what.find('\n'); end != std::string::npos) what.resize(end);
    throw Error(ErrorCode::kModel,
                fmt::format("{} ({}): {}", step.node.label(), step.node.op(), what));
  }
}

Tensors Program::run(const Values& values, Execution& execution) const {
  at::get_num_threads();  // tells OpenMP of this thread what at::set_num_threads was told elsewhere
  execution.opset = opset_;
  Tensors slots = initial_;
  for (const auto& name : given_) {
    const auto it = values.find(name);
    if (it != values.end())
      slots[static_cast<size_t>(slots_.at(name))] = in_single_precision(it->second);
  }
  Tensors inputs;
  for (const Step& step : steps_) {
    inputs.clear();
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      inputs.push_back(step.inputs[i] < 0 ? at::Tensor()
                                          : slots[static_cast<size_t>(step.inputs[i])]);
      if (step.inputs[i] >= 0 && !inputs.back().defined()) {
        throw Error(ErrorCode::kBug,
                    fmt::format("{}: nothing was given for its input '{}'", step.node.label(),
                                step.node.input_name(static_cast<int>(i))));
      }
    }
    Tensors results = run_step(step, inputs, execution);
    for (size_t i = 0; i < std::min(step.outputs.size(), results.size()); ++i) {
      if (step.outputs[i] < 0) continue;
      auto& target = slots[static_cast<size_t>(step.outputs[i])];
      if (!target.defined()) target = std::move(results[i]);
    }
    for (const int slot : step.dropped) slots[static_cast<size_t>(slot)].reset();
  }
  Tensors results;
  for (const int slot : output_slots_) results.push_back(slots[static_cast<size_t>(slot)]);
  return results;
}

at::Tensor Program::constant(const std::string& name) const {
  const ValueRef value = model_.graph().find(name);
  const auto tensor = value ? forms::constant_or_form(value) : std::nullopt;
  if (!tensor) throw Error(ErrorCode::kModel, "value '" + name + "' is no constant");
  return in_single_precision(to_torch(*tensor));
}

}  // namespace mcompress::train
