// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress {

enum class LayerKind { kConv, kConvTranspose, kGemm, kMatMul, kEmbedding, kRecurrent };
std::string_view layer_kind_name(LayerKind kind);

/// A node with a constant weight, as every pass sees it: analysis/layers answers once, for all
/// passes, which input is the weight and what its axes mean.
struct Layer {
  NodeRef node;
  LayerKind kind = LayerKind::kMatMul;
  std::string name;       ///< label of the node: for people, `only`, `skip` and the report
  std::string output;     ///< name of the value that leaves the layer: its identity across rewrites
  int weight_input = 1;   ///< which input of `node` is the weight
  ValueRef weight;        ///< the constant, or the float end of a stored form (src/forms) that stands for one
  bool weight_is_plain = true;  ///< false: `weight` is a stored form; `node`'s input is not itself a constant
  Shape weight_shape;     ///< of the float weight
  int output_axis = 0;    ///< of the weight: output channels (per group for ConvTranspose)
  int input_axis = 1;     ///< of the weight: input channels (per group for Conv)
  int64_t groups = 1;
  int64_t outputs = 0;    ///< output channels
  int64_t inputs = 0;     ///< input channels (of the whole layer)
  int64_t kernel = 1;     ///< product of the kernel's spatial sizes
  ValueRef bias;          ///< constant bias among the node's inputs; empty without one
  int bias_input = 2;
  bool shared_weight = false;  ///< another node reads the weight too

  int64_t weight_count() const { return element_count(weight_shape); }
  bool is_depthwise() const { return groups > 1 && groups == inputs && groups == outputs; }
};

/// All layers of the model in graph order, bodies included.
std::vector<Layer> find_layers(Model& model);

/// Patterns of `only` and `skip`: a glob over the layer's name or output ("/head/*"), "op:Conv", "first",
/// "last", "depthwise". Throws kRecipe for a pattern that cannot be read.
class LayerSelection {
 public:
  LayerSelection() = default;
  LayerSelection(std::vector<std::string> only, std::vector<std::string> skip);
  /// Reason to leave layer `index` of `layers` alone, or "" when it is selected.
  std::string reason_to_skip(const std::vector<Layer>& layers, size_t index) const;
  /// Patterns that matched no layer (a warning).
  std::vector<std::string> unmatched(const std::vector<Layer>& layers) const;
  bool empty() const { return only_.empty() && skip_.empty(); }
  const std::vector<std::string>& only() const { return only_; }
  const std::vector<std::string>& skip() const { return skip_; }

 private:
  std::vector<std::string> only_;
  std::vector<std::string> skip_;
};

}  // namespace mcompress
