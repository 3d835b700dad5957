// SPDX-License-Identifier: Apache-2.0
#include "quantization/candidates.h"

#include <fmt/format.h>

namespace mcompress::quantization {
namespace {

constexpr int64_t kQdqOpset = 13;  // per-channel DequantizeLinear
constexpr size_t kFewSamples = 20;

std::vector<Layer> select_again(Model& model, PassContext& context) {
  std::vector<Layer> selected;
  const auto layers = find_layers(model);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (context.selection().reason_to_skip(layers, i).empty()) selected.push_back(layers[i]);
  }
  return selected;
}

bool raise_opset(Model& model, PassContext& context) {
  const int64_t before = model.opset();
  if (!context.require_opset(model, kQdqOpset)) return false;
  context.warn("opset raised from " + std::to_string(before) + " to " +
               std::to_string(model.opset()) + ": per-channel scales need it");
  return true;
}

void warn_of_input(Model& model, PassContext& context) {
  if (const int64_t count = count_quantized(model); count > 0) {
    context.warn(fmt::format("{} nodes compute with integers already: they are left alone", count));
  }
  if (!context.calibration().has_data()) return;
  if (const size_t samples = context.calibration().data().size(); samples < kFewSamples) {
    context.warn(fmt::format("calibrated on {} samples only; 100 to 500 are advised", samples));
  }
}

}  // namespace

Candidates find_candidates(Model& model, PassContext& context, std::vector<Layer> selected) {
  Candidates result;
  result.opset_raised = raise_opset(model, context);
  result.types = context.sample_types(model);
  if (result.opset_raised) selected = select_again(model, context);
  result.units = find_units(model, result.types, selected, result.refused);
  // Where layers are named, what is no layer may go with them; matrices of two computed values are
  // as much as layers and were not named.
  if (!context.selection().only().empty()) {
    std::erase_if(result.units, [](const Unit& unit) { return unit.kind == UnitKind::kMatMul; });
  }
  for (const auto& [layer, reason] : result.refused) context.skipped(layer, reason);
  warn_of_input(model, context);
  return result;
}

}  // namespace mcompress::quantization
