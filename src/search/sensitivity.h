// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mcompress/metric.h"
#include "mcompress/pass_context.h"
#include "mcompress/report.h"
#include "pass/manager.h"
#include "quantization/costs.h"
#include "search/output_damage.h"

namespace mcompress::search {

/// A way to change a layer: a step of a recipe; its `only` and `skip` say which layers it is for.
struct Choice {
  std::string name;
  StepSpec step;
};

struct SensitivityInputs {
  const Model* base = nullptr;  ///< what is changed
  PassManager* manager = nullptr;
  PassContext* context = nullptr;
  const OutputDamage* outputs = nullptr;
  Evaluator* evaluator = nullptr;  ///< null: no metric
  const quantization::CostModel* costs = nullptr;
  const std::vector<Choice>* choices = nullptr;
  bool by_block = false;  ///< layers whose names end alike but for the last part at once
  bool encode = true;     ///< bytes are of the file with encode-weights run
};

/// Changes one layer (or block) of the base at a time in each of the ways and measures what that
/// does to outputs, metric, bytes and time; nothing else of the model is touched. Rows come with
/// the greatest damage first, equals in graph order. A model is held for one change at a time; the
/// reference's outputs are those of `outputs`.
std::vector<SensitivityLayer> measure_sensitivity(const SensitivityInputs& inputs);

/// "/encoder/0/attention/MatMul_2" is of the block "/encoder/0/attention"; a name without '/' or
/// '.' is a block of its own.
std::string block_of(const std::string& layer_name);

/// Gives each layer the choice that together save the most bytes while the sum of the damages stays
/// within `tolerance`: from float on, the change with the most bytes for its damage first; then, of
/// changes that save nearly the same, the one that saves the most time. Fills `chosen`, and the
/// sums of the report.
void choose_plan(SensitivityReport& report);

}  // namespace mcompress::search
