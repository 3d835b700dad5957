// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/trainer.h"
#include "train/op.h"

namespace mcompress::train {

/// Name -> value of the main graph.
using Values = std::map<std::string, at::Tensor>;

/// The part of a model's main graph that computes `outputs` from `fed` values and constants, in
/// order. Holds every constant it reads, as tensors without gradients; what depends on constants
/// alone and on none of `variables` is computed once, stored forms of weights are decoded. Computes
/// in float where the model says half or bfloat16. Runs from many threads at a time.
class Program {
 public:
  /// `variables`: values that the caller gives to each run: parameters, or what is computed of them
  /// (the output of a DequantizeLinear).
  /// Throws Unsupported naming a node that is not in the table, and kModel for a value that is not
  /// there.
  Program(const Model& model, std::vector<std::string> fed, std::vector<std::string> outputs,
          const std::set<std::string>& variables = {});

  /// Outputs in their order. `values`: fed values and variables. Sets the execution's opset.
  Tensors run(const Values& values, Execution& execution) const;
  const std::vector<std::string>& outputs() const { return outputs_; }
  const std::vector<std::string>& fed() const { return fed_; }
  /// A constant as the file has it, but half and bfloat16 as float. Throws kModel where there is
  /// none.
  at::Tensor constant(const std::string& name) const;
  int64_t opset() const { return opset_; }
  /// Nodes that each run computes.
  size_t step_count() const { return steps_.size(); }

 private:
  /// Values live in numbered slots; -1 stands for an absent one.
  struct Step {
    NodeRef node;
    OpFunction run = nullptr;
    std::vector<int> inputs, outputs;
    std::vector<int> dropped;  ///< values that nobody reads after this step
  };
  int slot(const std::string& name);
  void add_value(const ValueRef& value, std::set<const onnx::NodeProto*>& wanted);
  void add_steps(const std::set<const onnx::NodeProto*>& wanted);
  void compute_constants();
  void find_last_reads();
  static Tensors run_step(const Step& step, std::span<const at::Tensor> inputs,
                          Execution& execution);

  Model model_;  ///< a clone: nodes are read while the caller's model may change
  int64_t opset_ = 17;
  std::vector<std::string> fed_, outputs_;
  std::set<std::string> given_;  ///< fed values and variables
  std::map<std::string, int> slots_;
  std::vector<Step> steps_;
  Tensors initial_;  ///< by slot: constants, others undefined
  std::vector<int> output_slots_;
};

/// What of `model` can be trained towards `output` ("" is the first): see TrainingCheck.
TrainingCheck check_model(const Model& model, const std::string& output);

}  // namespace mcompress::train
