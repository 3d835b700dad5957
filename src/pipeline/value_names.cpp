// SPDX-License-Identifier: Apache-2.0
#include "pipeline/value_names.h"

#include <algorithm>
#include <set>

#include "mcompress/layer.h"

namespace mcompress {

ValueNames::ValueNames(Model& before, Model& after) : before_(&before), after_(&after) {
  for (const auto& [now, was] : after.state().origin) renamed_.emplace(was, now);
}

std::string ValueNames::layer_before(const std::string& now) const {
  const auto& origin = after_->state().origin;
  const auto it = origin.find(now);
  return it == origin.end() ? now : it->second;
}

std::string ValueNames::value_before(const std::string& now) const {
  if (before_->graph().find(now)) return now;
  const std::string layer = layer_before(now);
  // What it was called between two renamings.
  const auto [first, last] = renamed_.equal_range(layer);
  const auto known = std::find_if(
      first, last, [&](const auto& entry) { return bool(before_->graph().find(entry.second)); });
  return known == last ? layer : known->second;
}

std::string ValueNames::now(const std::string& layer_before) const {
  const auto [first, last] = renamed_.equal_range(layer_before);
  const auto known = std::find_if(
      first, last, [&](const auto& entry) { return bool(after_->graph().find(entry.second)); });
  return known == last ? layer_before : known->second;
}

bool recognise_by_order(Model& first, Model& second) {
  const auto ours = find_layers(first), theirs = find_layers(second);
  const auto alike = [](const Layer& a, const Layer& b) {
    return a.node.op() == b.node.op() && a.weight_shape == b.weight_shape;
  };
  if (!std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(), alike)) return false;
  std::set<std::string> known;
  for (const ValueInfo& output : first.graph().outputs()) known.insert(output.name);
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i].output == theirs[i].output && !known.contains(ours[i].output)) return false;
  }
  bool renamed = false;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i].output == theirs[i].output) continue;
    second.state().origin[theirs[i].output] = ours[i].output;
    renamed = true;
  }
  return renamed;
}

}  // namespace mcompress
