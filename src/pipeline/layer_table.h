// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/model.h"
#include "mcompress/pass_context.h"
#include "mcompress/report.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

struct LayerTableInputs {
  Model* before = nullptr;  ///< the input model
  Model* after = nullptr;   ///< as loaded from the written file, with the state of the run
  const ValueTypes* types = nullptr;  ///< of `before`
  const std::vector<PassContext::Decision>* decisions = nullptr;
  const std::vector<StepReport>* steps = nullptr;  ///< for the reasons of skips
  RuntimeService* runtime = nullptr;               ///< null: no times, no signal-to-noise
  const Dataset* data = nullptr;                   ///< for signal-to-noise; may be null
  std::optional<Feeds> sample;                     ///< for times
  bool read_weights = true;  ///< false: no sparsity and no distinct values
};

/// One row for each layer of the input model (product.md section 5): what it is, what became of it,
/// what that did to its output. Every measured figure comes from running the model as written, with
/// taps behind the Q nodes of quantized layers, because a tap before one would undo the fusion
/// (rules.md 6).
std::vector<LayerReport> layer_table(const LayerTableInputs& inputs);

/// Signal-to-noise and agreement of values that two models share, by name in the first one. Minus
/// infinity where NaN or infinity came up; NaN where the first model has them, and the rest, if
/// any, is the same.
struct ParityValue {
  std::string name;
  double sqnr_db = 0;
  double cosine = 0;
  double max_abs_error = 0;
  bool exact = true;
};
/// `names` are values of the main graph of `before`; those that `after` does not compute any more,
/// under the name or its origin, are left out. Uses at most `samples` samples.
std::map<std::string, ParityValue> value_parity(RuntimeService& runtime, Model& before,
                                                Model& after, const std::vector<std::string>& names,
                                                const Dataset& data, size_t samples);

/// Mean microseconds of each layer (by output), what the runtime fused into it included.
std::map<std::string, double> layer_times(RuntimeService& runtime, const Model& model,
                                          const Feeds& feeds, int runs);

}  // namespace mcompress
