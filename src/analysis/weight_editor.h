// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "mcompress/layer.h"

namespace mcompress::analysis {

/// Why a weight of these values cannot be approximated, or "": there are none, NaN, infinities.
std::string value_obstacle(std::span<const float> values);

/// What tells layers apart: output, and input of the weight, for a recurrent node is two layers.
using LayerKey = std::pair<std::string, int>;
inline LayerKey layer_key(const Layer& layer) { return {layer.output, layer.weight_input}; }

/// Reads and replaces weights for a pass that gives them other values. Layers that share a weight
/// go on sharing it: the first that is changed changes it for all.
class WeightEditor {
 public:
  /// Replaces nothing and knows no layers.
  WeightEditor() = default;
  /// `layers`: those that the step may change.
  explicit WeightEditor(std::span<const Layer> layers);

  /// Why the weight cannot be replaced, or "": a quantized form, or a reader that is not among the
  /// layers and would keep the old weight in the file, so that a changed copy only adds to it.
  std::string obstacle(const Layer& layer) const;
  /// The weight as a tensor of its floating type, decoded where it is stored in a form. Throws
  /// Unsupported with the obstacle.
  Tensor read(const Layer& layer) const;
  /// An earlier layer replaced this weight already.
  bool is_done(const Layer& layer) const { return done_.count(key(layer.weight)) != 0; }
  void set_done(const Layer& layer) { done_.insert(key(layer.weight)); }
  /// Gives all readers the value, as a plain constant under the weight's name, and marks it done.
  ValueRef write(const Layer& layer, const Tensor& value);
  /// Erases a weight, plain or stored form, that nobody reads any more.
  static void erase_if_unread(const ValueRef& weight);

 private:
  using Key = std::pair<const Graph*, std::string>;
  static Key key(const ValueRef& value) { return {&value.scope(), value.name()}; }

  std::map<Key, size_t> readers_;  ///< inputs of the layers that read the weight
  std::set<Key> done_;
};

/// Records that later steps and training must keep zeros, or the set of values, of a weight
/// (rules.md 15).
void record_constraint(Model& model, const ValueRef& weight, ConstraintKind kind,
                       std::string_view pass);

}  // namespace mcompress::analysis
