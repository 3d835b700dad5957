// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <string>

#include "mcompress/interrupt.h"
#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "pass/late_refusal.h"
#include "support/did_you_mean.h"

namespace mcompress {
namespace {

/// Initializers that are graph inputs are no constants, so their layers are not even seen.
void tell_of_weights_as_inputs(const Model& model, const std::vector<Layer>& layers,
                               PassContext& context) {
  Model frozen = model.clone();
  const int count = frozen.freeze_inputs();
  if (count == 0) return;
  std::set<std::string> seen;
  for (const Layer& layer : layers) seen.insert(layer.output);
  bool hides_layers = false;
  for (const Layer& layer : find_layers(frozen)) {
    if (seen.contains(layer.output)) continue;
    hides_layers = true;
    context.skipped(
        layer,
        "its weight is a graph input, which a caller may replace; --freeze-inputs makes it "
        "a constant");
  }
  if (!hides_layers || !layers.empty()) return;
  context.warn("no layer has a constant weight: " + std::to_string(count) +
               " initializers are graph inputs, which a caller may replace; --freeze-inputs makes "
               "them constants");
}

/// Layers, or operators that layers have, which `pattern` may have meant.
std::string meant(const std::string& pattern, const std::vector<Layer>& layers) {
  if (pattern.find_first_of("*?") != std::string::npos) return "";
  const bool is_op = pattern.starts_with("op:");
  std::set<std::string> names;
  for (const Layer& layer : layers) names.insert(is_op ? "op:" + layer.node.op() : layer.name);
  names.erase("");
  const std::string hint = did_you_mean(pattern, {names.begin(), names.end()});
  return hint.empty() ? "" : ": " + hint;
}

}  // namespace

std::vector<Layer> select_layers(Model& model, PassContext& context,
                                 const std::function<std::string(const Layer&)>& obstacle) {
  const std::vector<Layer> layers = find_layers(model);
  tell_of_weights_as_inputs(model, layers, context);
  for (const auto& pattern : context.selection().unmatched(layers)) {
    context.warn("pattern '" + pattern + "' matches no layer" + meant(pattern, layers));
  }
  std::vector<Layer> selected;
  for (size_t i = 0; i < layers.size(); ++i) {
    std::string reason = context.selection().reason_to_skip(layers, i);
    if (const auto* const refused = context.refused(layers[i].output)) reason = *refused;
    if (reason.empty() && obstacle) reason = obstacle(layers[i]);
    if (reason.empty()) {
      selected.push_back(layers[i]);
    } else {
      context.skipped(layers[i], std::move(reason));
    }
  }
  return selected;
}

bool LayerPass::run(Model& model, PassContext& context) {
  std::vector<Layer> layers = select_layers(model, context);
  const uint64_t untouched = model.edit_count();
  prepare(model, context, layers);
  bool changed = model.edit_count() != untouched;
  context.progress().begin(info().name, layers.size());
  for (Layer& layer : layers) {
    check_interrupt();
    context.progress().advance();
    if (!layer.node.alive()) continue;  // an earlier layer's rewrite took it along
    const uint64_t before = model.edit_count();
    try {
      changed |= run_on_layer(layer, context);
    } catch (const Unsupported& refusal) {
      if (model.edit_count() != before) throw LateRefusal{layer.output, refusal.reason()};
      context.skipped(layer, refusal.reason());
    } catch (Error& error) {
      error.with_context("layer " + layer.name);
      throw;
    }
  }
  context.progress().end();
  changed |= finish(model, context);
  return changed;
}

}  // namespace mcompress
