// SPDX-License-Identifier: Apache-2.0
#include "analysis/weight_editor.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "forms/stored_form.h"
#include "mcompress/error.h"

namespace mcompress::analysis {
namespace {

/// Puts a plain constant in the place of a stored form. Readers let go first, so that the name is
/// free.
ValueRef replace_form(const ValueRef& weight, const forms::StoredForm& form, const Tensor& value) {
  const std::vector<Use> uses = weight.uses();
  Graph& scope = weight.scope();
  const std::string name = weight.name();
  for (const Use& use : uses) use.node.graph().set_input(use.node, use.input, {});
  forms::erase_unread(form);
  const ValueRef plain = scope.add_constant(name, value);
  for (const Use& use : uses) use.node.graph().set_input(use.node, use.input, plain);
  return plain;
}

}  // namespace

WeightEditor::WeightEditor(std::span<const Layer> layers) {
  for (const Layer& layer : layers) ++readers_[key(layer.weight)];
}

std::string WeightEditor::obstacle(const Layer& layer) const {
  if (!layer.weight_is_plain) {
    const auto form = forms::recognise(layer.weight);
    if (form && form->quantized()) {
      return "its weight is quantized already; quantize after the steps that change weights";
    }
  }
  if (layer.weight.is_graph_output()) return "its weight is an output of the graph";
  const auto known = readers_.find(key(layer.weight));
  const size_t ours = known == readers_.end() ? 0 : known->second;
  if (layer.weight.uses().size() > ours)
    return "another node that is not changed reads its weight too";
  return "";
}

std::string value_obstacle(std::span<const float> values) {
  if (values.empty()) return "its weight is empty";
  const bool finite =
      std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
  return finite ? "" : "its weight holds NaN or infinite values";
}

Tensor WeightEditor::read(const Layer& layer) const {
  if (std::string why = obstacle(layer); !why.empty()) throw Unsupported(std::move(why));
  auto weight = forms::constant_or_form(layer.weight);
  if (!weight) throw Unsupported("its weight cannot be read");
  return std::move(*weight);
}

ValueRef WeightEditor::write(const Layer& layer, const Tensor& value) {
  set_done(layer);
  if (layer.weight.is_constant()) {
    layer.weight.scope().set_constant(layer.weight, value);
    return layer.weight;
  }
  return replace_form(layer.weight, *forms::recognise(layer.weight), value);
}

void WeightEditor::erase_if_unread(const ValueRef& weight) {
  if (!weight.uses().empty() || weight.is_graph_output()) return;
  if (!weight.is_constant()) {
    if (const auto form = forms::recognise(weight)) forms::erase_unread(*form);
  } else if (const NodeRef node = weight.producer()) {
    weight.scope().erase(node);
  } else {
    weight.scope().erase_initializer(weight.name());
  }
}

void record_constraint(Model& model, const ValueRef& weight, ConstraintKind kind,
                       std::string_view pass) {
  auto& constraints = model.state().constraints;
  const auto [first, last] = constraints.equal_range(weight.name());
  const bool known =
      std::any_of(first, last, [kind](const auto& c) { return c.second.kind == kind; });
  if (!known) constraints.emplace(weight.name(), TensorConstraint{kind, std::string(pass)});
}

}  // namespace mcompress::analysis
