// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "analysis/affine.h"
#include "mcompress/layer.h"
#include "mcompress/value_types.h"

namespace mcompress::quantization {

/// A Mul, Div or Add by a constant beside a class of values.
struct ConstantTerm {
  NodeRef node;
  int64_t first = 0;               ///< channel of the class
  analysis::ChannelLayout layout;  ///< of the value on both sides
  bool is_sum = false;  ///< its constant must be divided like the value; else it takes a factor in
  bool variable_in = false;  ///< of a product: its variable is in the class
  bool result_in = false;    ///< of a product: its result is in the class
};

/// A node that computes scale * normalized + shift: LayerNormalization, BatchNormalization.
struct NormTerm {
  NodeRef node;
  int64_t first = 0;  ///< channel of the class
};

/// Values of the main graph that can only be divided by one factor per channel together: they are
/// joined by operators that let a positive factor per channel pass (Relu, pools, Add of two, Add of
/// a constant, Transpose, the gated side of a Mul, Concat). At the rim of a class layers, Mul and
/// Div by constants and normalizations take the factors into their constants. What a Concat along
/// the channels joins has a part of the channels each.
struct ScaleClass {
  struct Value {
    std::string name;
    int64_t first = 0, channels = 0;  ///< of the class
    int axis = 1;
    int trailing = 0;                                 ///< axes behind it
    bool enters_layer = false, leaves_layer = false;  ///< what 8 bits are for
  };
  std::vector<Value> values;
  int64_t channels = 0;
  std::vector<size_t> producers;  ///< layers (index into `layers`) whose result is here
  std::vector<size_t> consumers;  ///< layers that read a value of the class
  std::map<std::string, int64_t> first;  ///< channel of the class, by value
  std::vector<ConstantTerm> terms;
  std::vector<NormTerm> norms;   ///< that produce a value
  std::vector<Use> activations;  ///< readers that need the true value: Sigmoid, HardSigmoid, ...
  /// Why nothing can be divided here ("p2o.Softmax.2 needs the value as it is"), or "".
  std::string obstacle;
};

/// The layers of a model that can take factors, and the classes of values between them.
struct ScaleGraph {
  std::vector<analysis::AffineLayer> layers;
  std::vector<ScaleClass> classes;  ///< in the order of their first value in the graph
};

/// `selected`: layers that may be changed; classes that touch another layer have an obstacle.
/// `types` with static shapes where there are any. Without `through_concat` a Concat needs its
/// values as they are, and all values of a class have all of its channels. Nothing is edited.
ScaleGraph find_scale_classes(Model& model, const ValueTypes& types,
                              const std::vector<Layer>& selected, bool through_concat = false);

/// First channel of the class that a layer produces or reads.
int64_t first_channel(const ScaleClass& scale_class, const analysis::AffineLayer& layer,
                      bool produced);

/// Why the constants at the rim of a class take no factors: one of them is NaN or infinite, or so
/// large or small that a product leaves the range of float; "" where all take them.
std::string range_obstacle(const ScaleGraph& graph, const ScaleClass& scale_class);

/// Divides the values of a class by `factors` (one per channel, positive): all constants at its rim
/// are changed, and where there are `activations`, one Mul per value gives them the true values.
/// Returns how many Mul were added. The class must have no obstacle. Layers of other classes stay
/// valid. The model's state keeps what its values were divided by.
int divide_class(Model& model, ScaleGraph& graph, const ScaleClass& scale_class,
                 const std::vector<double>& factors);

/// The value of a class that a shift can be taken from: one layer gives it, only a Relu reads it,
/// and only layers without padding, and with a bias, read what that gives; nullptr where it is not
/// so.
const ScaleClass::Value* absorbing_value(const Model& model, const ScaleGraph& graph,
                                         const ScaleClass& scale_class);
/// Takes `shift` (per channel, not negative) from what the producer of such a class gives and puts
/// it into the biases of those who read it. Exact for values that are at least `shift` (high
/// biases, Nagel et al. 2019).
void absorb_bias(ScaleGraph& graph, const ScaleClass& scale_class,
                 const std::vector<double>& shift);

}  // namespace mcompress::quantization
