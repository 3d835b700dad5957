// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/patterns.h"
#include "mcompress/error.h"
#include "quantization/equalize_classes.h"

namespace mcompress::quantization {
namespace {

using analysis::ChannelLayout;
using analysis::constant_operand;

/// Of the channels from `first` on.
std::vector<double> part(const std::vector<double>& factors, int64_t first, int64_t channels) {
  const auto begin = factors.begin() + first;
  return {begin, begin + channels};
}

std::vector<double> inverse(const std::vector<double>& factors) {
  std::vector<double> result;
  for (const double f : factors) result.push_back(1 / f);
  return result;
}

/// The shape in which one entry per channel broadcasts along the axis.
Shape channel_shape(const ChannelLayout& layout) {
  Shape shape(static_cast<size_t>(layout.rank - layout.axis), 1);
  shape[0] = layout.channels;
  return shape;
}

Tensor as_float(const Shape& shape, const std::vector<double>& values) {
  return analysis::make_floats(DataType::kFloat, shape, values);
}

void divide_term(const ConstantTerm& term, const std::vector<double>& of_class) {
  const std::vector<double> factors = part(of_class, term.first, term.layout.channels);
  const auto operand = constant_operand(term.node);
  auto values = *analysis::read_floats(operand->constant);
  const Shape old = operand->constant.constant_shape();
  Shape shape = channel_shape(term.layout);
  if (values.size() == 1) {
    values.assign(factors.size(), values[0]);
    if (old.size() > shape.size()) shape.insert(shape.begin(), old.size() - shape.size(), 1);
  } else {
    shape = old;
  }
  // Of x * c and x + c the constant is divided with the result; of x * c multiplied with x.
  const bool is_division = term.node.is("Div");
  const bool multiply = !term.is_sum && (term.variable_in != is_division);
  for (size_t c = 0; c < values.size(); ++c) {
    values[c] = multiply ? values[c] * factors[c] : values[c] / factors[c];
  }
  term.node.graph().set_constant_input(term.node, operand->constant_input, as_float(shape, values));
}

void divide_norm(const NormTerm& norm, const std::vector<double>& of_class) {
  for (const int i : {1, 2}) {
    const ValueRef constant = norm.node.input(i);
    if (!constant) continue;
    auto values = *analysis::read_floats(constant);
    const Shape shape = constant.constant_shape();
    const std::vector<double> factors =
        part(of_class, norm.first, static_cast<int64_t>(values.size()));
    for (size_t c = 0; c < values.size(); ++c) values[c] /= factors[c];
    norm.node.graph().set_constant_input(norm.node, i, as_float(shape, values));
  }
}

void record(Model& model, const ScaleClass::Value& value, const std::vector<double>& of_class) {
  const std::vector<double> factors = part(of_class, value.first, value.channels);
  DividedValue& divided = model.state().divided[value.name];
  divided.axis = value.axis;
  divided.factors.resize(factors.size(), 1.0);
  for (size_t c = 0; c < factors.size(); ++c) divided.factors[c] *= factors[c];
}

int give_true_values(const ScaleClass& scale_class, const std::vector<double>& factors) {
  std::map<std::string, ValueRef> restored;
  int added = 0;
  for (const Use& use : scale_class.activations) {
    const ValueRef value = use.node.input(use.input);
    ValueRef& now = restored[value.name()];
    Graph& graph = use.node.graph();
    if (!now) {
      const auto known = std::find_if(scale_class.values.begin(), scale_class.values.end(),
                                      [&](const auto& v) { return v.name == value.name(); });
      const ChannelLayout layout{known->axis + known->trailing + 1, known->axis, known->channels};
      const ValueRef constant = graph.add_constant(
          value.name() + "_scale",
          as_float(channel_shape(layout), part(factors, known->first, known->channels)));
      now = graph.insert({.op = "Mul", .inputs = {value, constant}}, use.node).output();
      ++added;
    }
    graph.set_input(use.node, use.input, now);
  }
  return added;
}

/// Factors go up to 1000 on either side of a layer.
std::string range_obstacle_of(const NodeRef& node, const std::vector<double>& values) {
  constexpr double kMost = 1e30, kLeast = 1e-30;
  double largest = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) return node.label() + " has constants that are NaN or infinite";
    largest = std::max(largest, std::abs(value));
  }
  if (largest > kMost) return node.label() + " has constants too large to be multiplied";
  if (largest > 0 && largest < kLeast) {
    return node.label() + " has constants too small to be divided";
  }
  return "";
}

}  // namespace

std::string range_obstacle(const ScaleGraph& graph, const ScaleClass& scale_class) {
  std::string why;
  const auto look_at = [&](const NodeRef& node, const std::vector<double>& values) {
    if (why.empty()) why = range_obstacle_of(node, values);
  };
  for (const auto* const side : {&scale_class.producers, &scale_class.consumers}) {
    for (const size_t i : *side) {
      const analysis::AffineLayer& layer = graph.layers[i];
      if (const auto weight = analysis::read_floats(layer.layer().weight)) {
        look_at(layer.layer().node, *weight);
      }
      look_at(layer.layer().node, layer.bias());
    }
  }
  for (const ConstantTerm& term : scale_class.terms) {
    look_at(term.node, *analysis::read_floats(constant_operand(term.node)->constant));
  }
  for (const NormTerm& norm : scale_class.norms) {
    for (const int i : {1, 2}) {
      if (const ValueRef constant = norm.node.input(i)) {
        look_at(norm.node, *analysis::read_floats(constant));
      }
    }
  }
  return why;
}

const ScaleClass::Value* absorbing_value(const Model& model, const ScaleGraph& graph,
                                         const ScaleClass& scale_class) {
  const bool plain = scale_class.terms.empty() && scale_class.norms.empty() &&
                     scale_class.activations.empty() && scale_class.obstacle.empty();
  if (!plain || scale_class.producers.size() != 1 || scale_class.values.size() != 2) return nullptr;
  const auto has_bias = [](const analysis::AffineLayer& layer) {
    return layer.layer().kind != LayerKind::kMatMul || layer.result_node() != layer.layer().node;
  };
  const analysis::AffineLayer& producer = graph.layers[scale_class.producers[0]];
  const NodeRef relu = analysis::sole_consumer(producer.result());
  if (!relu || !relu.is("Relu") || !has_bias(producer)) return nullptr;
  for (const size_t i : scale_class.consumers) {
    const analysis::AffineLayer& layer = graph.layers[i];
    const bool takes = !layer.is_padded() && has_bias(layer) &&
                       layer.layer().kind != LayerKind::kConvTranspose &&
                       layer.entry() == relu.output();
    if (!takes) return nullptr;
  }
  const ValueRef result = model.graph().find(producer.result().name());
  for (const auto& value : scale_class.values) {
    if (result && value.name == result.name()) return &value;
  }
  return nullptr;
}

void absorb_bias(ScaleGraph& graph, const ScaleClass& scale_class,
                 const std::vector<double>& shift) {
  analysis::ChannelAffine taken, given;
  given.shift = shift;
  taken.shift.clear();
  for (const double s : shift) taken.shift.push_back(-s);
  const auto require = [](const std::string& why) {
    if (!why.empty()) throw Error(ErrorCode::kBug, "a shift was refused after edits: " + why);
  };
  require(graph.layers[scale_class.producers[0]].fold_after(taken));
  for (const size_t i : scale_class.consumers) require(graph.layers[i].fold_before(given));
}

int divide_class(Model& model, ScaleGraph& graph, const ScaleClass& scale_class,
                 const std::vector<double>& factors) {
  const auto of_layer = [&](const analysis::AffineLayer& layer, bool produced) {
    const auto layout = produced ? layer.output_layout() : layer.input_layout();
    return part(factors, first_channel(scale_class, layer, produced), layout.channels);
  };
  const auto require = [](const std::string& why) {
    if (!why.empty()) throw Error(ErrorCode::kBug, "a factor was refused after edits: " + why);
  };
  for (const auto& value : scale_class.values) record(model, value, factors);
  // Before any edit: an added bias changes the name of a layer's result.
  std::map<size_t, std::vector<double>> of_results, of_entries;
  for (const size_t i : scale_class.producers) of_results[i] = of_layer(graph.layers[i], true);
  for (const size_t i : scale_class.consumers) of_entries[i] = of_layer(graph.layers[i], false);
  for (const auto& [i, own] : of_results) {
    analysis::ChannelAffine divided;
    divided.scale = inverse(own);
    require(graph.layers[i].fold_after(divided));
  }
  for (const auto& [i, own] : of_entries) {
    analysis::ChannelAffine multiplied;
    multiplied.scale = own;
    require(graph.layers[i].fold_before(multiplied));
  }
  for (const ConstantTerm& term : scale_class.terms) divide_term(term, factors);
  for (const NormTerm& norm : scale_class.norms) divide_norm(norm, factors);
  return give_true_values(scale_class, factors);
}

}  // namespace mcompress::quantization
