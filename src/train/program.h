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

/// The part of a model's main graph that computes `outputs` from `fed` values and constants, in order.
/// Holds every constant it reads, as tensors without gradients; what depends on constants alone and on
/// none of `variables` is computed once. Runs from many threads at a time.
class Program {
 public:
  /// `variables`: constants that the caller gives to each run (parameters).
  /// Throws Unsupported naming a node that is not in the table.
  Program(const Model& model, std::vector<std::string> fed, std::vector<std::string> outputs,
          const std::set<std::string>& variables = {});

  /// Outputs in their order. `values`: fed values and variables.
  Tensors run(const Values& values, Execution& execution) const;
  const std::vector<std::string>& outputs() const { return outputs_; }
  const std::vector<std::string>& fed() const { return fed_; }
  /// A constant as the file has it.
  const at::Tensor& constant(const std::string& name) const;
  int64_t opset() const { return opset_; }

 private:
  struct Step {
    NodeRef node;
    OpFunction run;
    std::vector<std::string> inputs, outputs;
    std::vector<std::string> dropped;  ///< values that nobody reads after this step
  };
  std::vector<std::string> fed_, outputs_;
  std::vector<Step> steps_;
  Values constants_;
  int64_t opset_ = 17;
  Model model_;  ///< a clone: nodes are read while the caller's model may change
};

/// What of `model` can be trained towards `output` ("" is the first): see TrainingCheck.
TrainingCheck check_model(const Model& model, const std::string& output);

}  // namespace mcompress::train
